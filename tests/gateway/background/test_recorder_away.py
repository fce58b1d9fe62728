"""The recorder while SQL or Redis is away, and at its end: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis as Client
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy import text

from gateway.background.recorder import TRIES, Recorder
from storage import (
    dead_letters,
)
from storage.database import Database
from storage.errors import RecordsUnavailable
from storage.redis_keys import PARTITIONS
from tests.storage.outbox_entries import (
    Redis,
    add_business,
    left,
    put,
    recorded_balance,
)

pytestmark = pytest.mark.anyio


class AwayAtTimes(Database):
    """A database that is away for the next writes, before them or at their commit."""

    def __init__(self, database: Database) -> None:
        super().__init__(database._engine)
        self.away = 0
        self.lost_answers = 0
        self.asked = asyncio.Event()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Any]:
        self.asked.set()
        if self.away:
            self.away -= 1
            raise RecordsUnavailable("SQL does not answer")
        async with super().write() as connection:
            yield connection
        if self.lost_answers:
            self.lost_answers -= 1
            raise RecordsUnavailable("it committed, and we did not hear of it")


async def test_nothing_leaves_redis_before_sql_has_it(
    database: Database, redis_client: Client
) -> None:
    """SQL that is away makes entries wait, and changes none of them."""
    acme = await add_business(database, topped_up="10")
    await put(redis_client, Redis(acme.id).charges("1"))
    at_times = AwayAtTimes(database)
    at_times.away = 1

    with pytest.raises(RecordsUnavailable):
        await Recorder(at_times, redis_client).record_once()

    assert len(await left(redis_client)) == 1
    assert await recorded_balance(database, acme) == "10.00"


async def test_a_commit_nobody_heard_of_is_recorded_once(
    database: Database, redis_client: Client
) -> None:
    """The entries come again, and SQL knows them."""
    acme = await add_business(database, topped_up="10")
    await put(redis_client, Redis(acme.id).charges("1"))
    at_times = AwayAtTimes(database)
    at_times.lost_answers = 1
    recorder = Recorder(at_times, redis_client)

    with pytest.raises(RecordsUnavailable):
        await recorder.record_once()
    recorded = await recorder.record_once()

    assert (recorded, await left(redis_client)) == (1, [])
    assert await recorded_balance(database, acme) == "9.00"


async def test_the_loop_outlives_an_absence_of_sql(
    database: Database, redis_client: Client
) -> None:
    """It tries again by itself, and a wake ends its pause."""
    acme = await add_business(database, topped_up="10")
    await put(redis_client, Redis(acme.id).charges("1"))
    at_times = AwayAtTimes(database)
    at_times.away = 2
    recorder = Recorder(at_times, redis_client, every_s=0.001)

    running = asyncio.create_task(recorder.run())
    while await left(redis_client):
        recorder.wake()
        await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert await recorded_balance(database, acme) == "9.00"


async def test_the_loop_outlives_an_absence_of_redis(database: Database) -> None:
    """And a mistake of ours: nothing ends the only way of a call into SQL."""
    asked: asyncio.Queue[int] = asyncio.Queue()
    failures = iter([RedisAway("gone"), ZeroDivisionError("a mistake")])

    class Pipeline:
        def xrange(self, *_: Any, **__: Any) -> None: ...

        async def execute(self, **_: Any) -> list[Any]:
            asked.put_nowait(1)
            if failure := next(failures, None):
                raise failure
            return [[] for _ in range(PARTITIONS)]

    class Away:
        def pipeline(self, **_: Any) -> Pipeline:
            return Pipeline()

    recorder = Recorder(database, Away(), every_s=0.001)
    running = asyncio.create_task(recorder.run())
    async with asyncio.timeout(30):
        for _ in range(3):
            await asked.get()
            recorder.wake()

    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_loop_ends_whenever_it_is_cancelled(
    database: Database, redis_client: Client, redis_url: str
) -> None:
    """The gateway stops in the middle of anything; no library may swallow that."""
    await add_business(database)
    # Only a client with time limits loses a cancellation, as the gateway's has.
    async with Client.from_url(redis_url, socket_timeout=30, decode_responses=True) as redis:
        recorder = Recorder(database, redis, every_s=0.0001)
        for moment in range(40):
            running = asyncio.create_task(recorder.run())
            await asyncio.sleep(moment / 10_000)
            running.cancel()
            await asyncio.wait([running], timeout=30)

            assert running.cancelled()


async def test_a_missing_table_buries_nothing(database: Database, redis_client: Client) -> None:
    """What SQL says of every entry is no entry's fault; all of them wait."""
    acme = await add_business(database, topped_up="10")
    await put(redis_client, Redis(acme.id).charges("1"))
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE ai_transactions RENAME TO elsewhere"))
    recorder = Recorder(database, redis_client)

    for _ in range(TRIES + 1):
        with pytest.raises(Exception, match="ai_transactions"):
            await recorder.record_once()

    assert len(await left(redis_client)) == 1
    async with database.read() as connection:
        assert await dead_letters.all(connection) == []
