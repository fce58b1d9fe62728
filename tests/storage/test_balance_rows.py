"""The balance row: one is active, and it is changed by whoever has locked it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from storage import (
    purchases,
)
from storage.database import Database
from storage.errors import BadAmount
from storage.tables import business_ai_credits
from tests.storage.outbox_entries import (
    LATER,
    Redis,
    add_business,
    credits,
    ledger_row,
    record,
    write_event,
)

pytestmark = pytest.mark.anyio


async def test_a_balance_stays_below_what_lua_counts_exactly(database: Database) -> None:
    """Sums of amounts must stay exact in a double."""
    acme = await add_business(database, topped_up="999999999")

    with pytest.raises(BadAmount, match="the most a balance can be"):
        await write_event(database, acme, "add", "1")

    assert (await ledger_row(database, acme)).balance == credits("999999999")


async def test_an_addition_arms_the_alerts_it_lifts_the_total_over(database: Database) -> None:
    """As credit.lua does it; the snapshot of a new account must say the same."""
    acme = await add_business(database, topped_up="12")
    await record(database, Redis(acme.id).charges("12", alerts="low_balance,depleted"))

    await write_event(database, acme, "add", "5")
    below = (await ledger_row(database, acme)).alerted
    await write_event(database, acme, "add", "5")

    assert below == 1
    assert (await ledger_row(database, acme)).alerted == 0


async def test_an_addition_after_the_last_day_opens_a_new_row(database: Database) -> None:
    """One row of a business is active; the old one stays, and what was left moves on."""
    acme = await add_business(database)
    await write_event(database, acme, "add", "5")
    old = await ledger_row(database, acme)

    async with database.write() as connection:
        after = LATER + timedelta(days=1)
        await purchases.top_up(connection, business=acme.id, credits=credits("30"), at=after)

    new = await ledger_row(database, acme)
    assert new.id != old.id
    assert (new.balance, new.credit_seq, new.purchased_at) == (credits("35"), 2, after)
    async with database.read() as connection:
        found = await connection.execute(
            select(business_ai_credits.c.is_active, business_ai_credits.c.balance_microcredits)
            .where(business_ai_credits.c.business_id == acme.id)
            .order_by(business_ai_credits.c.id)
        )
    assert found.all() == [(False, 0), (True, credits("35").micro)]


async def test_top_ups_that_meet_after_the_last_day_open_one_new_row(database: Database) -> None:
    """Whoever waited for the old row goes on with the new one."""
    acme = await add_business(database)
    await write_event(database, acme, "add", "5")
    after = LATER + timedelta(days=1)

    async def top_up() -> None:
        async with database.write() as connection:
            await purchases.top_up(connection, business=acme.id, credits=credits("1"), at=after)

    await asyncio.gather(*(top_up() for _ in range(5)))

    row = await ledger_row(database, acme)
    assert (row.balance, row.credit_seq) == (credits("10"), 6)
