"""Leases: one process runs a loop, the next one takes it over, and nobody waits for Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from storage import leases as module
from storage import redis_keys
from storage.leases import WHOLE, Leases
from storage.scripts import Scripts, connect
from tests.storage.redis_door import RedisDoor

pytestmark = pytest.mark.anyio

EVERY = set(range(redis_keys.PARTITIONS))


class Process:
    """What asks for leases: a process of the gateway, as far as Redis can tell."""

    def __init__(self, redis: Redis) -> None:
        self.scripts = Scripts(redis)
        self.leases = Leases(self.scripts)
        self._recorder = self.leases.of("recorder")
        self._crediting = self.leases.of("crediting")

    @property
    def records(self) -> set[int]:
        return {p for p in range(redis_keys.PARTITIONS) if self._recorder(p)}

    @property
    def credits(self) -> bool:
        return self._crediting(WHOLE)


@asynccontextmanager
async def processes(url: str, count: int = 1) -> AsyncIterator[list[Process]]:
    """Some processes on one Redis."""
    redis = connect(url)
    made = [Process(redis) for _ in range(count)]
    yield made
    for process in made:
        await process.scripts.close()
    await redis.aclose()


async def test_one_process_has_all_of_them_and_the_next_one_none(redis_url: str) -> None:
    """The first holds them as long as it renews; a lease has an end in any case."""
    async with processes(redis_url, 2) as (first, second), Redis.from_url(redis_url) as client:
        await first.leases.renew()
        await second.leases.renew()
        await first.leases.renew()

        assert (first.records, first.credits) == (EVERY, True)
        assert (second.records, second.credits) == (set(), False)
        for partition in EVERY:
            left_ms = await client.pttl(redis_keys.lease(partition, "recorder"))
            assert 0 < left_ms <= module.LEASE_S * 1000
        # What nobody here runs is nobody's.
        assert not await client.exists(redis_keys.lease(0, "sweeper"))


async def test_what_is_given_back_is_free_at_once_and_nobody_gives_back_anothers(
    redis_url: str,
) -> None:
    """A stop must not leave the work lying for a lease."""
    async with processes(redis_url, 3) as (first, second, third):
        await first.leases.renew()
        await second.leases.renew()

        await second.leases.give_back()
        await third.leases.renew()
        assert third.records == set()

        await first.leases.give_back()
        await third.leases.renew()
        assert third.records == EVERY


async def test_the_leases_of_a_dead_process_end(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that comes back late finds them taken."""
    monkeypatch.setattr(module, "LEASE_S", 0.5)
    monkeypatch.setattr(module, "RENEWED_EVERY_S", 0.02)
    async with processes(redis_url, 2) as (dead, next_one):
        await dead.leases.renew()
        await next_one.leases.renew()
        assert next_one.records == set()
        renewing = asyncio.create_task(next_one.leases.run())

        async with asyncio.timeout(10):
            while next_one.records != EVERY:
                await asyncio.sleep(0.01)
        await dead.leases.renew()
        renewing.cancel()
        await asyncio.wait([renewing])

        assert dead.records == set()


async def test_who_cannot_ask_works(redis_url: str) -> None:
    """Two that do the same are harmless; none that does it is not."""
    async with RedisDoor.to(redis_url) as door:
        url = f"redis://localhost:{door.port}"
        async with processes(redis_url) as (first,), processes(url) as (cut_off,):
            await first.leases.renew()
            await cut_off.leases.renew()
            assert cut_off.records == set()

            door.cuts = 3
            door.shut()
            await cut_off.leases.renew()

            assert cut_off.records == EVERY
