"""The last credits: however many reach for them at once, they are spent once and no further."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.dev.stub_gates import Turnstile
from metering.money import Credits
from storage import redis_keys
from storage.scripts import connect
from tests.house import Acme, House
from tests.laws.caller import Answer, Caller
from tests.laws.laws import check_laws
from tests.laws.lifetimes import nothing_is_left

pytestmark = pytest.mark.anyio

CALLERS = 500
PRICE = Credits.parse("2.50")


class Watch:
    """Looks at an account in Redis as often as it can, over a connection of its own."""

    def __init__(self, redis: Any, business: str) -> None:
        self._redis = redis
        self._key = redis_keys.account(redis_keys.partition_of(business), business)
        self.ended = False
        self.looks = 0
        self.least_available = 10**15

    async def run(self) -> None:
        """Look until it is ended."""
        while not self.ended:
            total, held = await self._redis.hmget(self._key, ["total", "held"])
            self.looks += 1
            self.least_available = min(self.least_available, int(total) - int(held))


@asynccontextmanager
async def watched(redis_url: str, acme: Acme) -> AsyncIterator[Watch]:
    """Watch the account of a business inside the block."""
    await acme.balance()
    async with connect(redis_url) as redis:
        watch = Watch(redis, acme.id)
        looking = asyncio.create_task(watch.run())
        try:
            yield watch
        finally:
            watch.ended = True
            await looking


async def ask_until_told(house: House, acme: Acme, callers: int) -> Counter[int]:
    """
    Everybody asks at once, and again whoever is told that the credits are only held.

    Returns:
        How many were answered with each status in the end.
    """
    told: Counter[int] = Counter()
    waiting = [await Caller.connects(house.url) for _ in range(callers)]
    while waiting:
        answers = await asyncio.gather(*(ask(caller, acme) for caller in waiting))
        held = [answer.status == 429 for answer in answers]
        told.update(answer.status for answer in answers if answer.status != 429)
        for caller, has_to_wait in zip(waiting, held, strict=True):
            if not has_to_wait:
                caller.leaves()
        waiting = [caller for caller, has_to_wait in zip(waiting, held, strict=True) if has_to_wait]
    return told


async def ask(caller: Caller, acme: Acme) -> Answer:
    """Ask for an idea."""
    await caller.asks(acme.key, feature="idea")
    return await caller.answer()


async def test_as_many_calls_are_served_as_the_balance_is_for(house: House, redis_url: str) -> None:
    """500 at once on 37 × 2.50: 37 are served, 463 are told 402, and nothing is left."""
    acme = await house.business("92.50", features=("idea",))

    async with watched(redis_url, acme) as watch:
        told = await ask_until_told(house, acme, CALLERS)
        assert told == {200: 37, 402: CALLERS - 37}
        rows = await acme.transactions()

    assert watch.looks > 37
    assert watch.least_available >= 0
    assert [(row.credits_used, row.outcome) for row in rows] == [(PRICE, "settled")] * 37
    assert len(house.openai.billed) == 37
    assert await acme.recorded() == await acme.available() == await acme.held() == Credits(0)
    await check_laws(house)
    await nothing_is_left(house.parts.stores.redis)


async def test_credits_that_come_back_are_spent_by_the_next(
    one_house: House, valkey_url: str
) -> None:
    """Calls that OpenAI refuses cost nothing: their credits serve others, each of them once."""
    house = one_house
    acme = await house.business("25.00", features=("idea",))
    house.openai.fails(500, times=20)

    async with watched(valkey_url, acme) as watch:
        told = await ask_until_told(house, acme, CALLERS // 5)
        assert told == {200: 10, 500: 20, 402: 70}
        rows = await acme.transactions()

    assert watch.least_available >= 0
    outcomes = Counter((str(row.credits_used), row.outcome) for row in rows)
    assert outcomes == {("2.50", "settled"): 10, ("0.00", "released"): 20}
    assert await acme.recorded() == await acme.available() == Credits(0)
    await check_laws(house)


async def test_who_comes_too_late_is_told_to_wait_as_long_as_a_call_runs(one_house: House) -> None:
    """429 credits_held while somebody may still give some back; 402 when nobody can."""
    house = one_house
    acme = await house.business("5.00", features=("idea",))
    openai_works = Turnstile()
    house.openai.holds_replies(openai_works)
    callers = [await Caller.connects(house.url) for _ in range(3)]
    running = [asyncio.create_task(ask(caller, acme)) for caller in callers[:2]]
    await house.openai.received(2)

    early = await ask(callers[2], acme)
    openai_works.opens()
    served = await asyncio.gather(*running)
    await house.quiet()
    late = await ask(callers[2], acme)

    assert (early.status, early.code) == (429, "credits_held")
    assert (early.headers["x-should-retry"], early.headers["retry-after"]) == ("true", "2")
    assert [answer.status for answer in served] == [200, 200]
    assert (late.status, late.code) == (402, "insufficient_credits")
    assert len(house.openai.requests) == 2
    await check_laws(house)
    for caller in callers:
        caller.leaves()
