"""A Redis that is killed loses nothing; one that was emptied is noticed, and not served from."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.dev.stub_gates import Turnstile
from metering.money import Credits
from tests import engines
from tests.engine import Engine
from tests.faults.conftest import Scale
from tests.house import Acme, House, open_house
from tests.laws.conftest import SETTINGS
from tests.laws.laws import check_laws
from tests.laws.lifetimes import nothing_is_left

SEED = 20261122

pytestmark = [pytest.mark.anyio, pytest.mark.faults]


@pytest.fixture
async def house(
    durable_valkey: Engine, sqlite_records_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """A house on a Valkey that may be killed."""
    # A gateway whose ledger is frozen has settles that nobody will take: it need not wait.
    monkeypatch.setattr("gateway.app.SETTLES_WITHIN_S", 0.1)
    async with open_house(
        redis_url=durable_valkey.url, records_url=sqlite_records_url, **SETTINGS
    ) as opened:
        yield opened


def code_of(reply: httpx2.Response) -> str:
    """OpenAI's code of a refusal; empty for an answer."""
    code: str = reply.json().get("error", {}).get("code", "")
    return code


class Callers:
    """Callers who ask until they are answered, and are told nothing but that Redis is away."""

    def __init__(self, house: House, acme: Acme) -> None:
        self._house = house
        self._acme = acme
        self.told: Counter[int] = Counter()
        self.refused = asyncio.Event()

    async def ask(self, calls: int, *, at_once: int) -> None:
        """Until so many calls have been answered with 200."""
        turns = iter(range(calls))
        await asyncio.gather(*(self._ask_on(turns) for _ in range(at_once)))

    async def _ask_on(self, turns: Iterator[int]) -> None:
        for _ in turns:
            while not await self._is_answered():
                pass

    async def _is_answered(self) -> bool:
        reply = await self._house.chat(self._acme)
        self.told[reply.status_code] += 1
        if reply.status_code == 200:
            return True
        assert (reply.status_code, code_of(reply)) == (503, "ledger_unavailable"), reply.text
        self.refused.set()
        return False


async def test_kill_9_of_redis_loses_no_call_and_doubles_none(
    house: House, durable_valkey: Engine, folder: Path, scale: Scale
) -> None:
    """Callers are told 503 or get their answer; what was held, settled and recorded stays exact."""
    acme = await house.business("1000.00")
    callers = Callers(house, acme)
    valkey = durable_valkey
    for round in range(scale.rounds):
        calling = asyncio.create_task(callers.ask(scale.calls, at_once=20))
        some = random.Random(SEED + round).randint(scale.calls // 10, scale.calls // 2)
        await house.openai.received(len(house.openai.billed) + some)

        valkey.kill()
        callers.refused.clear()
        await callers.refused.wait()
        valkey = engines.start_valkey(folder / "valkey")
        await calling
        await house.quiet()

        seen = await check_laws(house)
        outcomes = Counter(row.outcome for row in seen.transactions)
        assert outcomes["settled"] == len(house.openai.billed) == (round + 1) * scale.calls
        assert await acme.held() == Credits(0)
        assert await acme.available() == await acme.recorded()
        await nothing_is_left(house.parts.stores.redis)
    valkey.kill()
    print(f"\n{scale.rounds} kills, callers told {dict(callers.told)}, rows {dict(outcomes)}")


async def test_what_a_sleeping_redis_held_after_all_is_given_back(
    durable_valkey: Engine, sqlite_records_url: str
) -> None:
    """A hold that was given up may be made later: nothing is forwarded for it, and it returns."""
    async with open_house(
        redis_url=durable_valkey.url,
        records_url=sqlite_records_url,
        holds__lease_s="1",
        holds__sweep_every_s="0.1",
    ) as house:
        acme = await house.business()
        assert (await house.chat(acme)).status_code == 200
        await house.quiet()

        durable_valkey.pause()
        refused = await asyncio.gather(*(house.chat(acme) for _ in range(10)))
        durable_valkey.resume()
        while await acme.held():
            await asyncio.sleep(0.01)

        assert {(reply.status_code, code_of(reply)) for reply in refused} == {
            (503, "ledger_unavailable")
        }
        assert len(house.openai.requests) == 1
        await house.quiet()
        seen = await check_laws(house)
        assert sum(row.credits_used_microcredits > 0 for row in seen.transactions) == 1
        await nothing_is_left(house.parts.stores.redis)


async def test_an_emptied_redis_is_noticed_and_nothing_more_is_forwarded(
    house: House, durable_valkey: Engine
) -> None:
    """FLUSHALL under calls: these are answered; every new one is told 503, and why is shown."""
    acme, other = await house.business(), await house.business(name="Other")
    assert (await house.chat(other)).status_code == 200
    openai_works = Turnstile()
    house.openai.holds_replies(openai_works)
    running = [asyncio.create_task(house.chat(acme)) for _ in range(10)]
    await house.openai.received(11)

    await house.parts.stores.redis.flushall()
    refused = [await house.chat(caller) for caller in (acme, other) * 5]
    openai_works.opens()
    answered = await asyncio.gather(*running)
    afterwards = await house.chat(acme)
    ready = await house.client.get("/readyz")

    assert {(reply.status_code, code_of(reply)) for reply in [*refused, afterwards]} == {
        (503, "ledger_unavailable")
    }
    assert [reply.status_code for reply in answered] == [200] * 10
    assert len(house.openai.requests) == 11
    assert ready.status_code == 503
    assert "Redis has nothing of partition" in ready.json()["ledger"]
    # They wait for a recovery, and are not thrown away.
    assert house.parts.loops.settler.unanswered == 10


async def test_what_was_noticed_is_known_to_the_next_gateway(
    durable_valkey: Engine, sqlite_records_url: str
) -> None:
    """A Redis that was emptied while no gateway ran is not taken for a new one."""
    engines_of_both = {"redis_url": durable_valkey.url, "records_url": sqlite_records_url}
    async with open_house(**engines_of_both, **SETTINGS) as first:
        acme = await first.business()
        assert (await first.chat(acme)).status_code == 200
        await first.quiet()
        await first.parts.stores.redis.flushall()

    async with open_house(**engines_of_both, **SETTINGS) as second:
        acme.house = second
        reply = await second.chat(acme)
        ready = await second.client.get("/readyz")

    assert (reply.status_code, code_of(reply)) == (503, "ledger_unavailable")
    assert second.openai.requests == []
    assert (ready.status_code, ready.json()["redis"]) == (503, "ok")
    assert "frozen" in ready.json()["ledger"]
