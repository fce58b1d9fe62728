"""Credit events: numbered without a gap, applied in order, and seen as one moment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from metering.money import MOST_MICROCREDITS, Credits
from storage import (
    movements,
    purchases,
)
from storage.database import Database
from storage.errors import BadAmount
from storage.outbox import Entry
from tests.storage.outbox_entries import (
    LATER,
    NOW,
    NOW_MS,
    Redis,
    add_business,
    credits,
    ledger_row,
    movements_minus_charged,
    record,
    write_event,
)

pytestmark = pytest.mark.anyio


async def test_an_addition_changes_the_balance_at_once(database: Database) -> None:
    """Money in goes SQL → Redis: what SQL has is what Redis will have."""
    acme = await add_business(database)

    event = await write_event(database, acme, "add", "30")

    assert (event.credit_seq, event.verb, event.amount) == (1, "add", credits("30"))
    assert event.expires_at_ms == NOW_MS + 30 * 86_400_000
    assert (event.low_at, event.status) == (credits("10"), "active")
    row = await ledger_row(database, acme)
    assert (row.balance, row.credit_seq) == (credits("30"), 1)
    assert (row.expires_at, row.purchased_at) == (LATER, NOW)


async def test_a_take_back_changes_nothing_until_redis_has_answered(database: Database) -> None:
    """Money out goes Redis → SQL: only the script knows what is there to take."""
    acme = await add_business(database, topped_up="30")

    event = await write_event(database, acme, "take", "10")

    assert (event.verb, event.amount) == ("take", credits("10"))
    assert event.expires_at_ms > NOW_MS
    assert (await ledger_row(database, acme)).balance == credits("30")
    assert await movements_minus_charged(database, acme) == credits("30")


async def test_events_come_back_as_they_were_written(database: Database) -> None:
    """What the loop reads later is what the writer would have applied at once."""
    acme = await add_business(database)

    written = [
        await write_event(database, acme, "add", "30"),
        await write_event(database, acme, "take", "0.000001"),
        await write_event(database, acme, "configure", "0"),
    ]

    async with database.read() as connection:
        assert await movements.pending(connection, acme.id, 0) == written
        assert await movements.pending(connection, acme.id, 2) == written[2:]
        assert await movements.pending(connection, acme.id, 0, limit=1) == written[:1]


async def test_credit_seq_has_no_gap_under_concurrency_and_rollbacks(database: Database) -> None:
    """A transaction that is rolled back gives its number back: Redis would wait for it for ever."""
    acme = await add_business(database)

    async def top_up(number: int) -> None:
        async with database.write() as connection:
            await purchases.top_up(
                connection, business=acme.id, credits=credits("1"), bonus=credits("2"), at=NOW
            )
            if number % 3 == 0:
                raise asyncio.CancelledError if number % 2 else RuntimeError

    results = await asyncio.gather(*map(top_up, range(18)), return_exceptions=True)

    assert results.count(None) == 12
    async with database.read() as connection:
        events = await movements.pending(connection, acme.id, 0)
    assert [event.credit_seq for event in events] == list(range(1, 25))
    row = await ledger_row(database, acme)
    assert (row.credit_seq, row.balance) == (24, credits("36"))
    assert await movements_minus_charged(database, acme) == credits("36")


async def test_additions_and_the_recorder_may_meet(database: Database) -> None:
    """Both change one row; no change of either is lost and neither waits for ever."""
    acme = await add_business(database, topped_up="100")
    redis = Redis(acme.id)

    async def call(entry: Entry) -> None:
        await record(database, entry)

    entries = [redis.charges("1") for _ in range(10)]

    async def calls() -> None:
        for entry in entries:
            await call(entry)

    await asyncio.gather(calls(), *(write_event(database, acme, "add", "2") for _ in range(10)))

    assert (await ledger_row(database, acme)).balance == credits("110")
    assert await movements_minus_charged(database, acme) == credits("110")


@pytest.mark.parametrize("verb", ["add", "take"])
@pytest.mark.parametrize("micro", [0, -1, MOST_MICROCREDITS + 1])
async def test_an_amount_that_cannot_be_moved_is_refused(
    database: Database, verb: Any, micro: int
) -> None:
    """The verb says the direction; nothing, less than nothing and too much are mistakes."""
    acme = await add_business(database, topped_up="30")

    async with database.write() as connection:
        with pytest.raises(BadAmount):
            await movements.write_event(
                connection,
                business=acme.id,
                kind="adjustment",
                verb=verb,
                amount=Credits(micro),
                expires_at=None,
                reference=None,
                reason=None,
                at=NOW,
            )

    assert (await ledger_row(database, acme)).credit_seq == 1


async def test_only_what_is_noted_as_applied_leaves_the_list(database: Database) -> None:
    """The loop finds businesses by what is not noted, and the note covers the receipt."""
    acme, bold = [await add_business(database, topped_up="30") for _ in range(2)]
    await write_event(database, acme, "configure", "0")

    async with database.write() as connection:
        both = await movements.unapplied_businesses(connection, 10)
        await movements.mark_applied(connection, acme.id, 1, NOW)
        left = await movements.pending(connection, acme.id)
        await movements.mark_applied(connection, acme.id, 2, NOW)
        only = await movements.unapplied_businesses(connection, 10)
        [receipt] = await purchases.page(connection, acme.id, limit=5)

    assert set(both) == {acme.id, bold.id}
    assert [event.credit_seq for event in left] == [2]
    assert only == [bold.id]
    assert receipt.applied_at == NOW


def test_milliseconds_are_exact() -> None:
    """No float on the way: a day may not end a millisecond early."""
    moments = [NOW + timedelta(milliseconds=each) for each in range(1000)]

    assert all(b - a == 1 for a, b in pairwise(map(movements.as_ms, moments)))
