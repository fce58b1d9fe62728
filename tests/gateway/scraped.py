"""What `/metrics` says, as numbers that a test can ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.house import ADMIN_TOKEN, House

WITHIN_S = 30.0  # It takes milliseconds; two busy cores take their time.

TOKEN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


class Scraped:
    """The samples of one answer."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def of(self, name: str, **labels: str) -> float:
        """The value of exactly one series, which is there."""
        return self.samples[f"gateway_{name}", frozenset(labels.items())]

    def by(self, name: str, label: str) -> Mapping[str, float]:
        """Label value → value, summed over the other labels, of what is not 0."""
        found: dict[str, float] = {}
        for (sample, labels), value in self.samples.items():
            if sample == f"gateway_{name}" and value:
                key = dict(labels)[label]
                found[key] = found.get(key, 0) + value
        return found

    @property
    def series(self) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        """Each series there is."""
        return set(self.samples)


async def scraped(house: House) -> Scraped:
    """Ask a house, as Prometheus does."""
    return await scraped_from(house.client, "/metrics")


async def scraped_until(house: House, is_so: Callable[[Scraped], bool]) -> Scraped:
    """Ask until it is so; it must come by itself."""
    async with asyncio.timeout(WITHIN_S):
        while not is_so(seen := await scraped(house)):
            await asyncio.sleep(0.001)
    return seen


async def scraped_from(client: httpx2.AsyncClient, url: str) -> Scraped:
    """Ask any gateway."""
    reply = await client.get(url, headers=TOKEN)
    assert reply.status_code == 200, reply.text
    return Scraped(reply.text)
