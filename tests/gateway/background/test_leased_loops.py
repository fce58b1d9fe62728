"""The expiry and the reconciler: of several gateways on one Redis one runs them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

import pytest
from redis.asyncio import Redis

from gateway.background.expiry import Expiry
from gateway.background.reconciler import Reconciler
from storage import redis_keys
from storage.leases import WHOLE, Leases
from storage.scripts import Scripts, connect
from tests.house import House

pytestmark = pytest.mark.anyio

Name = Literal["expiry", "reconciler"]
BOTH: tuple[Name, ...] = ("expiry", "reconciler")
NOBODY: Any = None  # No round is really made, so none of the stores is asked.


class Gateway:
    """One of several, as far as this loop is concerned; it notes its rounds."""

    def __init__(self, redis: Redis, name: Name) -> None:
        self.scripts = Scripts(redis)
        self.leases = Leases(self.scripts)
        self.rounds = self.asked = 0
        self._runs_here = self.leases.of_whole(name)
        self.loop = self._made(name)

    def _made(self, name: Name) -> Expiry | Reconciler:
        pace: Any = {"every_s": 0.0, "runs_here": self._asks}
        if name == "expiry":
            expiry = Expiry(NOBODY, NOBODY, NOBODY, NOBODY, **pace)
            expiry.expire_all = self._round  # type: ignore[method-assign]
            return expiry
        reconciler = Reconciler(NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, **pace)
        reconciler.audit_all = self._round  # type: ignore[method-assign]
        return reconciler

    def _asks(self) -> bool:
        self.asked += 1
        return self._runs_here()

    async def _round(self, now: object = None) -> int:
        self.rounds += 1
        return 0

    async def looks(self) -> bool:
        """Whether it makes a round when its loop comes by the next times."""
        rounds, enough = self.rounds, self.asked + 5
        while self.asked < enough:
            await asyncio.sleep(0)
        return self.rounds > rounds


@asynccontextmanager
async def gateways(url: str, name: Name, count: int = 2) -> AsyncIterator[list[Gateway]]:
    """Some of them, their loops running; their leases are renewed when a test says so."""
    redis = connect(url)
    made = [Gateway(redis, name) for _ in range(count)]
    for each in made:
        await each.leases.renew()
    running = [asyncio.create_task(each.loop.run()) for each in made]
    yield made
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    for each in made:
        await each.scripts.close()
    await redis.aclose()


@pytest.mark.parametrize("name", BOTH)
async def test_one_of_two_gateways_runs_it(redis_url: str, name: Name) -> None:
    """As long as it renews its lease, however often the other one asks for it."""
    async with gateways(redis_url, name) as (first, second):
        for _ in range(3):
            await second.leases.renew()
            await first.leases.renew()

            assert (await first.looks(), await second.looks()) == (True, False)
        assert second.rounds == 0


@pytest.mark.parametrize("name", BOTH)
async def test_another_gateway_takes_over_when_it_dies(redis_url: str, name: Name) -> None:
    """Once the lease has ended by the clock of Redis; who comes back late stands by."""
    async with gateways(redis_url, name) as (first, second), Redis.from_url(redis_url) as client:
        key = redis_keys.lease(WHOLE, name)
        assert 0 < await client.pttl(key) <= 6000
        assert await client.pexpireat(key, 1)

        await second.leases.renew()
        assert await second.looks()

        await first.leases.renew()
        assert (await first.looks(), await second.looks()) == (False, True)


@pytest.mark.parametrize("name", BOTH)
async def test_a_gateway_that_stops_hands_it_on(redis_url: str, name: Name) -> None:
    """At once, without waiting for the end of its lease."""
    async with gateways(redis_url, name) as (first, second):
        await first.leases.give_back()
        await second.leases.renew()

        assert await second.looks()


@pytest.mark.parametrize("name", BOTH)
async def test_a_gateway_runs_each_by_the_lease_of_its_own_name(house: House, name: Name) -> None:
    """As the whole gateway is put together; the other loop is not its business."""
    loops = house.parts.loops
    (other,) = set(BOTH) - {name}
    mine, others = (cast(Any, getattr(loops, each)) for each in (name, other))
    assert (mine._runs_here(), others._runs_here()) == (True, True)

    loops.leases._elsewhere = frozenset({(name, WHOLE)})

    assert (mine._runs_here(), others._runs_here()) == (False, True)
