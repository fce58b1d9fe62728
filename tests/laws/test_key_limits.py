"""A key's places and its cap, under many calls at once: looked at all the time, never passed."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from metering.money import Credits
from storage.scripts import connect
from tests.house import Acme, House
from tests.laws.caller import Answer, Caller
from tests.laws.laws import check_laws
from tests.laws.lifetimes import nothing_is_left
from tests.one_house import with_limits

pytestmark = pytest.mark.anyio

CALLERS = 200


class Watch:
    """Looks at what is counted of a key as often as it can, over a connection of its own."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self.ended = False
        self.looks = 0
        self.most_open = 0
        self.most_spent_and_held = 0

    async def run(self) -> None:
        """Look until it is ended."""
        while not self.ended:
            for name in await self._redis.keys("*:limits:*"):
                fields = await self._redis.hmget(name, ["open", "held", "spent", "before"])
                places, held, spent, before = (int(field or 0) for field in fields)
                self.looks += 1
                self.most_open = max(self.most_open, places)
                self.most_spent_and_held = max(self.most_spent_and_held, held + spent + before)


async def ask(caller: Caller, acme: Acme) -> Answer:
    """Ask for an idea at its fixed price."""
    await caller.asks(acme.key, feature="idea")
    return await caller.answer()


async def all_at_once(house: House, acme: Acme, redis_url: str) -> tuple[Counter[str], Watch]:
    """Everybody asks, and again whoever is told to wait; how often each code was the last."""
    async with connect(redis_url) as redis:
        watch = Watch(redis)
        looking = asyncio.create_task(watch.run())
        told: Counter[str] = Counter()
        waiting = [await Caller.connects(house.url) for _ in range(CALLERS)]
        while waiting:
            answers = await asyncio.gather(*(ask(caller, acme) for caller in waiting))
            told.update(answer.code for answer in answers if answer.status != 429)
            pairs = list(zip(waiting, answers, strict=True))
            for caller, answer in pairs:
                if answer.status != 429:
                    caller.leaves()
            waiting = [caller for caller, answer in pairs if answer.status == 429]
        watch.ended = True
        await looking
    return told, watch


async def pupil_of(house: House, **limits: Any) -> Acme:
    """A business with more than enough credits, calling with a key of these limits."""
    school = await house.business("1000.00", features=("idea",))
    pupil = await with_limits(school, **limits)
    async with house.database.write() as connection:
        await connection.exec_driver_sql(
            """UPDATE api_keys SET scopes = '{"features": ["idea"]}' WHERE name = 'limited'"""
        )
    return pupil


async def test_a_cap_is_spent_to_the_last_and_never_passed(house: House, redis_url: str) -> None:
    """200 at once on a cap of 20 × 2.50: 20 are served, 180 told so, whoever came first."""
    pupil = await pupil_of(house, credit_cap="50.00")

    told, watch = await all_at_once(house, pupil, redis_url)

    assert told == {"": 20, "key_credit_cap_reached": CALLERS - 20}
    assert watch.looks > 20
    assert watch.most_spent_and_held == Credits.parse("50.00").micro
    rows = await pupil.transactions()
    assert [str(row.credits_used) for row in rows] == ["2.50"] * 20
    await check_laws(house)
    await nothing_is_left(house.parts.stores.redis)


async def test_places_are_never_more_and_never_lost(house: House, redis_url: str) -> None:
    """200 at once through five places: all are served in the end, five at a time."""
    pupil = await pupil_of(house, concurrent=5)

    told, watch = await all_at_once(house, pupil, redis_url)

    assert told == {"": CALLERS}
    assert watch.looks > 20
    assert 1 <= watch.most_open <= 5
    assert len(await pupil.transactions()) == CALLERS
    await check_laws(house)
    await nothing_is_left(house.parts.stores.redis)
