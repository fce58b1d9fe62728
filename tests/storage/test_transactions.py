"""What SQL makes of the outbox: each entry once, in order, and nothing believed blindly."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from metering.money import Usd
from storage import (
    keys,
    partition_rows,
    transactions,
)
from storage.database import Database
from storage.errors import NotFound
from storage.ids import new_id
from storage.redis_keys import partition_of
from tests.storage.outbox_entries import (
    NOW,
    Redis,
    add_business,
    credits,
    ledger_row,
    movements_minus_charged,
    record,
)

pytestmark = pytest.mark.anyio


async def test_a_batch_becomes_rows_and_changes_the_balance(database: Database) -> None:
    """One row a call; the balance falls by what was charged, the last seq and counter rise."""
    acme = await add_business(database, topped_up="50")
    redis = Redis(acme.id)
    entries = [redis.charges("2.5"), redis.charges("2")]

    recorded = await record(database, *entries)

    assert (recorded.new, recorded.done) == (2, entries)
    row = await ledger_row(database, acme)
    assert (row.balance, row.seq, row.epoch) == (credits("45.5"), 2, 1)
    async with database.read() as connection:
        second, first = await transactions.page(connection, acme.id, limit=10)
        partition = (await partition_rows.read(connection))[partition_of(acme.id)]
    assert partition.highest_counter == 2
    assert (first.id, first.credits_used, first.seq) == (entries[0].id, credits("2.5"), 1)
    assert (first.tokens_used, first.usage["images"]) == (120, 1)
    assert (first.cost_to_us, first.credits_held) == (Usd(1_250_000_000), credits("5"))
    assert second.timestamp == NOW


async def test_a_batch_that_comes_again_changes_nothing(database: Database) -> None:
    """The recorder may die between SQL's commit and Redis's delete: exactly once all the same."""
    acme = await add_business(database, topped_up="50")
    redis = Redis(acme.id)
    entries = [redis.charges("2.5"), redis.takes_back("10", owed="1"), redis.expires("0.5")]
    await record(database, *entries)
    before = await ledger_row(database, acme)

    again = await record(database, *entries, redis.charges("1"))

    assert (again.new, len(again.done), again.lost) == (1, 4, {})
    after = await ledger_row(database, acme)
    assert after == replace(before, balance=credits("36"), seq=4)
    assert await movements_minus_charged(database, acme) == credits("36")


async def test_the_same_id_twice_in_one_batch_is_charged_once(database: Database) -> None:
    """An id is a call; a second entry of it under another seq is a Redis that forgot."""
    acme = await add_business(database, topped_up="50")
    redis = Redis(acme.id)
    first = redis.charges("2.5")
    second = redis.charges("2.5", id=first.id)

    recorded = await record(database, first, second)

    assert recorded.new == 1
    assert "is stored as epoch 1, seq 1" in recorded.lost[partition_of(acme.id)]
    assert (await ledger_row(database, acme)).balance == credits("47.5")


async def test_two_recorders_on_the_same_entries_record_each_once(database: Database) -> None:
    """Recorders that meet wait for each other, whatever the order of their partitions."""
    shops = [await add_business(database, topped_up="50") for _ in range(6)]
    entries = [entry for shop in shops for entry in map(Redis(shop.id).charges, ["1", "2", "3"])]
    by_shop_reversed = sorted(entries, key=lambda entry: (-entry.partition, entry.seq))

    both = await asyncio.gather(
        *(record(database, *entries) for _ in range(4)),
        *(record(database, *by_shop_reversed) for _ in range(4)),
    )

    assert sum(recorded.new for recorded in both) == len(entries)
    assert all(len(recorded.done) == len(entries) for recorded in both)
    assert not any(recorded.lost for recorded in both)
    for shop in shops:
        assert (await ledger_row(database, shop)).balance == credits("44")
        assert await movements_minus_charged(database, shop) == credits("44")


async def test_an_adjusted_row_gives_back(database: Database) -> None:
    """A late settle of a swept call may cost less than what the sweep charged."""
    acme = await add_business(database, topped_up="50")
    redis = Redis(acme.id)
    swept = redis.charges("5", outcome="orphaned")
    lower = redis.charges("-1.5", outcome="adjusted", row={"adjusts": swept.id})

    await record(database, swept, lower)

    async with database.read() as connection:
        row = await transactions.get(connection, lower.id)
        outcome = await transactions.outcome_of(connection, swept.id)
    assert (row.credits_used, row.adjusts) == (credits("-1.5"), swept.id)
    assert outcome == transactions.StoredOutcome("orphaned", credits("5"))
    assert (await ledger_row(database, acme)).balance == credits("46.5")


async def test_a_keys_last_use_is_noted(database: Database) -> None:
    """To the minute, so that a busy key is not written with every batch."""
    acme = await add_business(database, topped_up="50")
    async with database.write() as connection:
        key, _ = await keys.issue(connection, business=acme.id, name="app", at=NOW)
    redis = Redis(acme.id)

    for seconds in (0, 30, 90):
        async with database.write() as connection:
            entry = redis.charges("1", row={"key_id": key.id})
            at = NOW + timedelta(seconds=seconds)
            await transactions.record(connection, [entry], at=at)
            used = (await keys.get(connection, key.id)).last_used_at
            expected = NOW if seconds == 30 else at

            assert used == expected


async def test_ids_that_are_stored_are_told_from_others(database: Database) -> None:
    """A gateway forgets a settle only after SQL has its id."""
    acme = await add_business(database, topped_up="50")
    entry = Redis(acme.id).charges("1")
    await record(database, entry)
    other = new_id()

    async with database.read() as connection:
        found = await transactions.stored_ids(connection, [entry.id, other])
        outcome = await transactions.outcome_of(connection, other)

    assert found == {entry.id}
    assert outcome is None


async def test_pages_go_from_the_newest_to_the_oldest(database: Database) -> None:
    """`after` is the last id seen; nothing is shown twice or left out."""
    acme = await add_business(database, topped_up="50")
    redis = Redis(acme.id)
    entries = [redis.charges("1") for _ in range(5)]
    await record(database, *entries)

    async with database.read() as connection:
        first = await transactions.page(connection, acme.id, limit=3)
        rest = await transactions.page(connection, acme.id, limit=3, after=first[-1].id)
        with pytest.raises(NotFound):
            await transactions.page(connection, acme.id, limit=3, after="' OR 1=1")

    assert [row.id for row in first + rest] == [entry.id for entry in reversed(entries)]
