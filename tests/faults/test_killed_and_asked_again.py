"""A gateway dies in the middle of a call that has an Idempotency-Key, and it is asked again."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from tests.faults.processes import PROBE_S, Gateway
from tests.faults.site import Site
from tests.house import MODEL

pytestmark = [pytest.mark.anyio, pytest.mark.faults]


class Caller:
    """Makes one call, again and again, under one name."""

    def __init__(self, key: str, *, stream: bool, **script: Any) -> None:
        self._headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "order-17"}
        content = f"[[stub {json.dumps(script)}]] Hello"
        self._body = {"model": MODEL, "messages": [{"role": "user", "content": content}]}
        self._body["stream"] = stream  # type: ignore[assignment]

    async def asks(self, gateway: Gateway) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=gateway.url, timeout=60) as client:
            return await client.post("/v1/chat/completions", json=self._body, headers=self._headers)

    async def is_cut(self, gateway: Gateway) -> None:
        with suppress(httpx2.TransportError):
            await self.asks(gateway)

    async def asks_until_told(self, gateway: Gateway) -> tuple[httpx2.Response, set[str]]:
        """Ask as long as the answer is to ask again; the last answer, and the codes before."""
        codes: set[str] = set()
        while True:
            reply = await self.asks(gateway)
            if reply.headers.get("x-should-retry") != "true":
                return reply, codes
            codes.add(reply.json()["error"]["code"])
            await asyncio.sleep(PROBE_S)


async def test_who_asks_another_gateway_is_served_when_the_dead_ones_hold_is_swept(
    site_of_two: Site,
) -> None:
    """Nothing was delivered and nothing charged, so it goes on as a new call, charged once."""
    site = site_of_two
    key = await site.opens_business()
    await asyncio.gather(site.gateway.starts(), site.another.starts())
    caller = Caller(key, stream=False, latency_ms=1500)
    calling = asyncio.create_task(caller.is_cut(site.gateway))
    await site.held(1)

    early = await caller.asks(site.another)
    site.gateway.is_killed()
    await calling
    reply, codes = await caller.asks_until_told(site.another)
    again = await caller.asks(site.another)
    await site.quiet()

    assert early.json()["error"]["code"] == "idempotency_in_flight"
    assert (reply.status_code, codes) == (200, {"idempotency_in_flight"})
    assert "idempotency-replayed" not in reply.headers
    assert (again.content, again.headers["idempotency-replayed"]) == (reply.content, "true")
    seen = await site.obeys_the_laws()
    charged = [row for row in seen.transactions if row.credits_used_microcredits]
    assert [row.id for row in charged] == [reply.headers["x-transaction-id"]]


async def test_who_paid_for_a_part_is_told_so_and_not_charged_again(one_site: Site) -> None:
    """The dead gateway's stream was charged as far as noted; the key does not buy another."""
    site = one_site
    key = await site.opens_business()
    await site.gateway.starts()
    caller = Caller(key, stream=True, chunks=1000, delay_ms=2)
    calling = asyncio.create_task(caller.is_cut(site.gateway))
    await site.noted()

    site.gateway.is_killed()
    await calling
    await site.gateway.starts()
    reply, codes = await caller.asks_until_told(site.gateway)
    await site.quiet()

    assert reply.status_code == 409
    error = reply.json()["error"]
    assert error["code"] == "idempotency_reply_not_kept"
    assert codes <= {"idempotency_in_flight"}
    seen = await site.obeys_the_laws()
    (row,) = seen.transactions
    assert error["metadata"]["transaction_id"] == row.id
    assert row.outcome == "orphaned"


async def test_a_kept_reply_outlives_its_gateway_and_its_redis(one_site: Site) -> None:
    """Redis has written it to its file before the caller has it."""
    site = one_site
    key = await site.opens_business()
    await site.gateway.starts()
    caller = Caller(key, stream=True, chunks=20)
    first = await caller.asks(site.gateway)

    site.gateway.is_killed()
    site.loses_redis()
    await site.gateway.starts()
    again = await caller.asks(site.gateway)
    await site.quiet()

    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    await site.obeys_the_laws()
