"""Partitions: what a Redis that lost something looks like, and that it is never served."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from metering.money import Credits
from storage import businesses, partition_rows, redis_keys
from storage.accounts import Accounts
from storage.balances import Balances, Hold
from storage.database import Database
from storage.errors import LedgerUnavailable
from storage.ids import new_id
from storage.partitions import Partitions
from storage.scripts import Scripts, connect

pytestmark = pytest.mark.anyio


@dataclass
class Ledger:
    """One gateway's view of the ledger, and a business that has no credits."""

    redis: Redis
    database: Database
    partitions: Partitions
    balances: Balances
    accounts: Accounts
    business: str = ""

    @property
    def partition(self) -> int:
        return redis_keys.partition_of(self.business)

    async def hold(self) -> Hold:
        """A hold of nothing, which any open account grants."""

        async def ask() -> Hold:
            return await self.balances.hold(
                business=self.business,
                id=new_id(),
                ceiling=Credits(0),
                floor=Credits(0),
                lease_s=60,
                note="{}",
            )

        return await self.accounts.opened(self.business, ask)

    async def reason_in_sql(self) -> str | None:
        async with self.database.read() as connection:
            rows = await partition_rows.read(connection)
        return rows[self.partition].frozen_reason


def _view(redis: Redis, database: Database) -> Ledger:
    scripts = Scripts(redis)
    partitions = Partitions(redis, scripts, database)
    balances = Balances(redis, scripts, partitions)
    return Ledger(redis, database, partitions, balances, Accounts(database, balances, partitions))


@pytest.fixture
async def ledger(redis_url: str, database: Database) -> AsyncIterator[Ledger]:
    redis = connect(redis_url)
    view = _view(redis, database)
    await view.partitions.begin()
    async with database.write() as connection:
        made = await businesses.add(
            connection, name="Acme", owner_email="a@example.com", at=datetime.now(UTC)
        )
    view.business = made.id
    yield view
    await redis.aclose()


async def test_a_new_ledger_begins_by_itself(ledger: Ledger) -> None:
    """Nothing was recorded and no account was open, so nothing can have been lost."""
    assert (await ledger.hold()).is_new
    assert ledger.partitions.frozen == {}


async def test_a_flushed_redis_is_noticed_by_the_next_question(ledger: Ledger) -> None:
    """The epoch is gone: the partition is frozen, in SQL too, and stays so."""
    await ledger.hold()
    await ledger.redis.flushall()

    with pytest.raises(LedgerUnavailable, match="frozen"):
        await ledger.hold()
    with pytest.raises(LedgerUnavailable, match="frozen"):
        await ledger.hold()

    assert "Redis has nothing" in str(await ledger.reason_in_sql())
    assert list(ledger.partitions.frozen) == [ledger.partition]


async def test_a_flushed_redis_is_noticed_at_the_start(ledger: Ledger) -> None:
    """An account was open, so the partition must have been there."""
    await ledger.hold()
    await ledger.redis.flushall()
    again = _view(ledger.redis, ledger.database)

    await again.partitions.begin()

    assert list(again.partitions.frozen) == [ledger.partition]
    assert "accounts of it were open" in str(await ledger.reason_in_sql())


async def test_a_counter_that_falls_is_a_rollback(ledger: Ledger) -> None:
    """Redis may never answer less than what was known when it was asked."""
    await ledger.hold()
    await ledger.hold()
    await ledger.redis.hset(redis_keys.meta(ledger.partition), "counter", "0")

    with pytest.raises(LedgerUnavailable, match="fell from"):
        await ledger.hold()

    meta = await ledger.redis.hgetall(redis_keys.meta(ledger.partition))
    assert "fell from" in meta["frozen"]


async def test_a_counter_below_the_recorded_one_is_a_rollback(ledger: Ledger) -> None:
    """SQL knows more changes than Redis does: found at the start and after a reconnect."""
    async with ledger.database.write() as connection:
        rows = await partition_rows.lock(connection, [ledger.partition])
        assert rows[ledger.partition].highest_counter == 0
        await partition_rows.raise_counters(connection, {ledger.partition: 7})

    await ledger.partitions.check()

    assert "7 was seen before" in ledger.partitions.frozen[ledger.partition]


async def test_another_epoch_is_never_served(ledger: Ledger) -> None:
    """A Redis that is ahead of SQL, as after a restored backup, waits for a person."""
    await ledger.redis.hset(redis_keys.meta(ledger.partition), "epoch", "2")

    await ledger.partitions.check()

    assert "SQL has 1" in ledger.partitions.frozen[ledger.partition]


async def test_a_lost_account_freezes_its_partition(ledger: Ledger) -> None:
    """SQL says that it was opened in this epoch, and Redis does not have it."""
    await ledger.hold()
    await ledger.redis.delete(redis_keys.account(ledger.partition, ledger.business))

    with pytest.raises(LedgerUnavailable, match="lost an account"):
        await ledger.hold()

    assert ledger.partition in ledger.partitions.frozen


async def test_an_account_that_another_gateway_opens_is_no_loss(ledger: Ledger) -> None:
    """It may do so between our question and our look into SQL."""
    other = _view(ledger.redis, ledger.database)
    await other.partitions.begin()
    other.business = ledger.business

    await other.hold()
    await ledger.accounts.open(ledger.business)

    assert ledger.partitions.frozen == {}


async def test_a_freeze_is_seen_by_every_gateway(ledger: Ledger) -> None:
    """It stands in Redis, so that the others stop with their next question."""
    other = _view(ledger.redis, ledger.database)
    await other.partitions.begin()
    other.business = ledger.business
    await other.hold()

    await ledger.partitions.freeze(ledger.partition, "somebody looked at it")

    with pytest.raises(LedgerUnavailable, match="somebody looked at it"):
        await other.hold()


async def test_the_other_partitions_are_served(ledger: Ledger) -> None:
    """One business's trouble is not everybody's."""
    await ledger.partitions.freeze((ledger.partition + 1) % 16, "a test")

    assert (await ledger.hold()).is_new


async def test_answers_that_come_while_the_metas_are_read_are_no_rollback(
    ledger: Ledger,
) -> None:
    """The comparison is with what was known before Redis was asked."""
    read = ledger.partitions._metas

    async def overtaken(**how: bool) -> list[Any]:
        metas = await read(**how)
        await ledger.hold()
        return metas

    ledger.partitions._metas = overtaken  # type: ignore[method-assign]

    await ledger.partitions.check()

    assert ledger.partitions.frozen == {}
