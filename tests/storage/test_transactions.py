"""What SQL makes of the outbox: each entry once, in order, and nothing believed blindly."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from metering.money import Credits, Usd
from storage import alerts, keys, partition_rows, transactions
from storage.database import Database
from storage.errors import NotFound
from storage.ids import new_id
from storage.outbox import Entry
from storage.recording import Recorded
from storage.redis_keys import partition_of
from tests.storage.outbox_entries import (
    NOW,
    Redis,
    add_business,
    credits,
    ledger_row,
    movements_minus_charged,
)

pytestmark = pytest.mark.anyio


async def record(database: Database, *entries: Entry) -> Recorded:
    async with database.write() as connection:
        return await transactions.record(connection, entries, at=NOW)


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


async def test_an_entry_of_another_epoch_is_left_alone(database: Database) -> None:
    """Fencing: a stream of before the recovery is never recorded into after it."""
    acme = await add_business(database, topped_up="50")
    redis = Redis(acme.id, epoch=2)

    recorded = await record(database, redis.charges("2.5"))

    assert (recorded.new, recorded.done, len(recorded.stale)) == (0, [], 1)
    assert (await ledger_row(database, acme)).balance == credits("50")


@pytest.mark.parametrize("back_to", [0, 1])
async def test_a_seq_that_was_recorded_before_is_a_rolled_back_redis(
    database: Database, back_to: int
) -> None:
    """The call was made and is stored, without its seq; the partition is frozen, not stuck."""
    acme = await add_business(database, topped_up="50")
    redis = Redis(acme.id)
    await record(database, redis.charges("2.5"), redis.charges("2.5"))
    redis.seq = back_to

    late = redis.charges("1")
    recorded = await record(database, late)

    assert recorded.done == [late]
    async with database.read() as connection:
        stored = await transactions.get(connection, late.id)
        partition = (await partition_rows.read(connection))[partition_of(acme.id)]
    assert stored.seq is None
    assert partition.frozen_reason == recorded.lost[partition_of(acme.id)]
    row = await ledger_row(database, acme)
    assert (row.balance, row.seq) == (credits("44"), 2)
    assert (await record(database, late)).new == 0


async def test_a_forgetful_redis_takes_no_balance_below_zero(database: Database) -> None:
    """It spends credits a second time; SQL charges what is there and calls the rest shortfall."""
    acme = await add_business(database, topped_up="5")
    redis = Redis(acme.id)
    await record(database, redis.charges("4"))

    late = redis.charges("3")
    recorded = await record(database, late)

    assert "takes 3000000 micro-credits of 1000000" in recorded.lost[partition_of(acme.id)]
    async with database.read() as connection:
        stored = await transactions.get(connection, late.id)
    assert (stored.credits_used, stored.shortfall) == (credits("1"), credits("2"))
    assert (await ledger_row(database, acme)).balance == Credits(0)
    assert await movements_minus_charged(database, acme) == Credits(0)


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


async def test_what_is_owed_follows_the_entries(database: Database) -> None:
    """A take-back adds what was not there to what is owed; a payment takes it off again."""
    acme = await add_business(database, topped_up="50")
    redis = Redis(acme.id)

    await record(database, redis.takes_back("50", owed="20"))
    owing = await ledger_row(database, acme)
    await record(database, redis.takes_back("0", owed="-20"))

    assert (owing.balance, owing.owed) == (Credits(0), credits("20"))
    assert (await ledger_row(database, acme)).owed == Credits(0)


async def test_a_crossing_becomes_one_alert_and_stays_noted(database: Database) -> None:
    """One alert for each crossing since the last arming, however often the entry comes."""
    acme = await add_business(database, topped_up="12")
    redis = Redis(acme.id, balance=0)
    entry = redis.charges("12", alerts="low_balance,depleted")

    await record(database, entry)
    await record(database, entry)

    async with database.read() as connection:
        raised = await alerts.page(connection, acme.id, limit=10)
    thresholds = {alert.alert_type: alert.threshold for alert in raised}
    assert thresholds == {"low_balance": credits("10"), "depleted": Credits(0)}
    assert all(alert.credit_seq == 1 for alert in raised)
    assert (await ledger_row(database, acme)).alerted == 3


async def test_an_alert_from_before_an_addition_leaves_the_new_arming(database: Database) -> None:
    """The top-up has armed the alerts again before the old crossing reached SQL."""
    acme = await add_business(database, topped_up="50")

    await record(database, Redis(acme.id, credit_seq=0).charges("45", alerts="low_balance"))

    assert (await ledger_row(database, acme)).alerted == 0


async def test_a_bad_entry_keeps_only_its_own_business_waiting(database: Database) -> None:
    """Recorded first, what follows it would make it look like a change that came twice."""
    acme, bold = [await add_business(database, topped_up="50") for _ in range(2)]
    redis = Redis(acme.id)
    bad, next_of_acme = redis.charges("1", charged="1e3"), redis.charges("2")
    of_bold = Redis(bold.id).charges("3")

    recorded = await record(database, bad, next_of_acme, of_bold)

    assert recorded.failed == [(bad, "charged is not a whole number")]
    assert recorded.done == [of_bold]
    assert (await ledger_row(database, acme)).balance == credits("50")


@pytest.mark.parametrize(
    "row",
    [
        {"cost_pico": "1e30"},
        {"usage": {"input": -1}},
        {"usage": ["input"]},
        {"key_id": "not-a-uuid"},
        {"processing_ms": 2**31},
        {"started_at_ms": 2**60},
    ],
)
async def test_a_row_that_no_column_could_hold_is_named(database: Database, row: object) -> None:
    """It is found out before SQL sees it, so the rest of the batch does not suffer."""
    acme = await add_business(database, topped_up="50")
    entry = Redis(acme.id).charges("1", row=row)

    recorded = await record(database, entry)

    assert recorded.failed[0][0] is entry
    assert "its row is not understood" in recorded.failed[0][1]


async def test_an_entry_of_an_unknown_business_is_named(database: Database) -> None:
    """Another database's Redis, perhaps: nothing can be stored for it."""
    await add_business(database)

    recorded = await record(database, Redis(new_id()).charges("1"))

    assert [why for _, why in recorded.failed] == ["SQL knows no such business"]


async def test_texts_of_a_caller_fit_their_columns(database: Database) -> None:
    """An app may name its user as it likes; no name keeps a finished call out of SQL."""
    acme = await add_business(database, topped_up="50")
    entry = Redis(acme.id).charges("1", row={"user": "a\0b" + "ü" * 500, "feature": "f" * 200})

    await record(database, entry)

    async with database.read() as connection:
        row = await transactions.get(connection, entry.id)
    assert row.user is not None
    assert (row.user[:3], len(row.user), row.feature) == ("abü", 199, "f" * 100)


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
