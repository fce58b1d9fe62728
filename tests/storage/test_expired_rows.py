"""Expired balances in SQL: booked once, inactive from then on, and found while anything is left."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, text

from metering.money import Credits
from storage import alerts, balance_rows, movements, purchases
from storage.balance_rows import LedgerRow
from storage.businesses import Business, set_status
from storage.database import Database
from storage.tables import business_ai_credits, credit_movements
from tests.storage.outbox_entries import (
    AFTER,
    LATER,
    add_business,
    credits,
    expiring,
    ledger_row,
    movements_minus_charged,
    record,
    top_up,
    write_event,
)

pytestmark = pytest.mark.anyio


async def rows(database: Database, business: Business) -> list[tuple[bool, str]]:
    """Whether each balance row is active, and its balance; the oldest first."""
    table = business_ai_credits
    query = select(table.c.is_active, table.c.balance_microcredits)
    async with database.read() as connection:
        found = await connection.execute(
            query.where(table.c.business_id == business.id).order_by(table.c.id)
        )
    return [(active, str(Credits(balance))) for active, balance in found]


async def ended(database: Database, before: datetime = AFTER) -> list[str]:
    async with database.read() as connection:
        found = await balance_rows.ended(connection, before=before, after=None, limit=10)
    return [row.business for row in found]


async def test_an_expiry_is_booked_and_its_row_becomes_inactive(database: Database) -> None:
    """A movement of what was left, and one alert; however often the entry comes."""
    acme, redis = await expiring(database)
    booked = redis.expires("5")

    await record(database, booked)
    await record(database, booked)

    assert await rows(database, acme) == [(False, "0.00")]
    async with database.read() as connection:
        moved = await connection.execute(
            select(credit_movements.c.kind, credit_movements.c.amount_microcredits)
            .where(credit_movements.c.business_id == acme.id)
            .order_by(credit_movements.c.id)
        )
        raised = await alerts.page(connection, acme.id, limit=10)
    assert set(moved.all()) == {("purchase", 5_000_000), ("expired", -5_000_000)}
    assert [(alert.alert_type, alert.threshold) for alert in raised] == [("expired", Credits(0))]
    assert await movements_minus_charged(database, acme) == Credits(0)


async def test_calls_of_before_the_expiry_are_booked_into_the_inactive_row(
    database: Database,
) -> None:
    """What they held stayed there; what they did not need expires after them."""
    acme, redis = await expiring(database)
    await record(database, redis.expires("3"))
    between = await rows(database, acme)

    await record(database, redis.charges("1.5"), redis.expires("0.5", alerts=""))

    assert between == [(False, "2.00")]
    assert await rows(database, acme) == [(False, "0.00")]
    async with database.read() as connection:
        assert len(await alerts.page(connection, acme.id, limit=10)) == 1


async def test_the_next_purchase_opens_a_new_row(database: Database) -> None:
    """It takes over what calls still hold, and what is owed; the counters go on."""
    acme, redis = await expiring(database)
    await record(database, redis.expires("3"))

    await top_up(database, acme, "30")

    assert await rows(database, acme) == [(False, "0.00"), (True, "32.00")]
    row = await ledger_row(database, acme)
    assert (row.credit_seq, row.seq, row.is_active) == (2, 1, True)
    async with database.read() as connection:
        [event] = await movements.pending(connection, acme.id, 1)
    assert event.ended_at_ms == 0


async def test_a_purchase_that_finds_an_expired_balance_says_so(database: Database) -> None:
    """Redis is to book what was left before it adds; that is not the end of the new row."""
    acme, redis = await expiring(database)
    await top_up(database, acme, "30")
    async with database.read() as connection:
        [event] = await movements.pending(connection, acme.id, 1)

    await record(database, redis.expires("5", reference=event.id))

    assert event.ended_at_ms == movements.as_ms(LATER)
    assert await rows(database, acme) == [(False, "0.00"), (True, "30.00")]


@pytest.mark.parametrize(("days", "is_active"), [(-1, True), (0, False), (1, False)])
async def test_a_row_ends_from_the_millisecond_of_its_expiry(
    database: Database, days: int, is_active: bool
) -> None:
    """An entry of a time at which the row is good belongs to a row before it."""
    acme, redis = await expiring(database)
    redis.at_ms = movements.as_ms(LATER + timedelta(days=days))

    await record(database, redis.expires("5"))

    assert (await ledger_row(database, acme)).is_active is is_active


async def test_a_purchase_by_a_clock_that_is_late_opens_a_new_row_too(database: Database) -> None:
    """The expiry was booked, whatever the gateway's clock says."""
    acme, redis = await expiring(database)
    await record(database, redis.expires("5"))

    await top_up(database, acme, "30", at=LATER - timedelta(seconds=5))

    assert await rows(database, acme) == [(False, "0.00"), (True, "30.00")]


async def test_a_correction_after_the_expiry_gets_the_days_of_a_purchase(
    database: Database,
) -> None:
    """Credits that were given would be expired already."""
    acme, redis = await expiring(database)
    await record(database, redis.expires("5"))

    async with database.write() as connection:
        await purchases.adjust(
            connection, business=acme.id, credits=credits("1"), reason="r", user="ama", at=AFTER
        )

    row = await ledger_row(database, acme)
    assert (row.is_active, row.balance) == (True, credits("1"))
    assert row.expires_at == purchases.months_later(AFTER, 6)


async def test_an_expired_business_can_be_suspended_and_taken_from(database: Database) -> None:
    """Its last row is changed, and stays inactive."""
    acme, redis = await expiring(database)
    await record(database, redis.expires("5"))

    async with database.write() as connection:
        await set_status(connection, acme.id, status="suspended", at=AFTER)
    await write_event(database, acme, "take", "2")
    await record(database, redis.takes_back("0", owed="2"))

    row = await ledger_row(database, acme)
    assert (row.is_active, row.credit_seq, row.owed) == (False, 3, credits("2"))


async def test_balances_are_found_until_nothing_is_left(database: Database) -> None:
    """Also one that ended empty, whose end is still to be told; never one without an end."""
    acme, redis = await expiring(database)
    empty, spent = await expiring(database)
    await record(database, spent.charges("5"))
    await add_business(database)

    assert await ended(database, LATER - timedelta(microseconds=1)) == []
    assert set(await ended(database)) == {acme.id, empty.id}
    await record(database, redis.expires("3"), spent.expires("0"))
    assert await ended(database) == [acme.id]
    await record(database, redis.charges("2"))
    assert await ended(database) == []


async def test_ended_balances_come_in_pages(database: Database) -> None:
    """One that is in trouble must not keep the others from being found."""
    some = {(await expiring(database))[0].id for _ in range(5)}
    seen: list[str] = []
    last = None
    async with database.read() as connection:
        while page := await balance_rows.ended(connection, before=AFTER, after=last, limit=2):
            seen += [row.business for row in page]
            last = page[-1].id

    assert len(seen) == 5
    assert set(seen) == some


async def test_purchases_that_meet_after_the_expiry_open_one_new_row(database: Database) -> None:
    """Whoever waited for the inactive row goes on with the new one."""
    acme, redis = await expiring(database)
    await record(database, redis.expires("3"))

    await asyncio.gather(*(top_up(database, acme, "1") for _ in range(5)))

    assert await rows(database, acme) == [(False, "0.00"), (True, "7.00")]


async def test_who_waited_for_an_inactive_row_gets_the_one_that_followed(
    database: Database,
) -> None:
    """PostgreSQL gives a waiter the row it asked for, and that is not the current one now."""
    acme, redis = await expiring(database)
    await record(database, redis.expires("5"))

    async def lock() -> LedgerRow:
        async with database.write() as connection:
            return await balance_rows.lock_one(connection, acme.id)

    async with database.write() as connection:
        old = await balance_rows.lock_one(connection, acme.id)
        opened = await balance_rows.succeed(connection, old, AFTER)
        waiter = asyncio.create_task(lock())
        await somebody_waits(database)

    assert (await waiter).id == opened.id != old.id


async def somebody_waits(database: Database) -> None:
    """For a lock of PostgreSQL; in SQLite nobody gets that far."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while database.dialect == "postgresql":
        async with database.read() as connection:
            if await connection.scalar(waiting):
                return


async def test_recording_and_buying_at_once_lose_nothing(database: Database) -> None:
    """A purchase waits for a row that stops being active meanwhile, and the other way round."""
    acme, redis = await expiring(database)

    await asyncio.gather(record(database, redis.expires("5")), top_up(database, acme, "30"))

    assert await rows(database, acme) == [(False, "0.00"), (True, "30.00")]
    assert await movements_minus_charged(database, acme) == credits("30")
