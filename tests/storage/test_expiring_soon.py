"""Warnings before an expiry: one for each mark, from the very millisecond of it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from storage import alerts, deliveries, expiring_soon, purchases
from storage.businesses import Business
from storage.database import Database
from storage.deliveries import CHANNELS
from storage.tables import business_ai_credits
from tests.storage.outbox_entries import NOW, add_business, credits, ledger_row

pytestmark = pytest.mark.anyio

MARKS = (30, 7, 1)
MILLISECOND = timedelta(milliseconds=1)


async def warn(database: Database, at: datetime, limit: int = 500) -> None:
    async with database.write() as connection:
        await expiring_soon.warn(connection, days=MARKS, channels=CHANNELS, at=at, limit=limit)


async def raised(database: Database, business: Business) -> list[alerts.Alert]:
    async with database.read() as connection:
        found = await alerts.page(connection, business.id, limit=50)
    return [one for one in found if one.alert_type == "expiring_soon"]


async def expires_at(database: Database, business: Business) -> datetime:
    found = (await ledger_row(database, business)).expires_at
    assert found is not None
    return found


@pytest.mark.parametrize("days", MARKS)
async def test_a_mark_is_passed_to_the_millisecond(database: Database, days: int) -> None:
    """Not one before; and then once, however often it is looked for."""
    acme = await add_business(database, topped_up="12")
    mark = await expires_at(database, acme) - timedelta(days=days)
    before = len([each for each in MARKS if each > days])
    for earlier in (each for each in MARKS if each > days):
        await warn(database, await expires_at(database, acme) - timedelta(days=earlier))

    await warn(database, mark - MILLISECOND)
    assert len(await raised(database, acme)) == before

    await warn(database, mark)
    await warn(database, mark + MILLISECOND)
    found = await raised(database, acme)
    assert len(found) == before + 1
    assert (found[0].current_balance, found[0].sent_at) == (credits("12"), mark)


async def test_each_mark_is_told_with_its_days(database: Database) -> None:
    """Three alerts, each with a delivery for each channel, naming the mark and the expiry."""
    acme = await add_business(database, topped_up="12")
    end = await expires_at(database, acme)
    for days in MARKS:
        await warn(database, end - timedelta(days=days))

    async with database.read() as connection:
        found = await deliveries.due(connection, "email", at=end, limit=50)
    assert [each.days_before for each in found] == list(MARKS)
    assert {each.expires_at for each in found} == {end}


async def test_who_was_away_tells_the_last_mark_only(database: Database) -> None:
    """Three mails at once would say one thing; after the expiry none of them does."""
    acme = await add_business(database, topped_up="12")
    end = await expires_at(database, acme)

    await warn(database, end - timedelta(hours=3))
    assert len(await raised(database, acme)) == 1
    await warn(database, end)
    assert len(await raised(database, acme)) == 1


async def test_a_purchase_that_moves_the_expiry_arms_them_again(database: Database) -> None:
    """The new date has marks of its own, and what was raised stays."""
    acme = await add_business(database, topped_up="12")
    first = await expires_at(database, acme)
    await warn(database, first - timedelta(days=7))
    bought = first - timedelta(days=3)
    async with database.write() as connection:
        await purchases.top_up(connection, business=acme.id, credits=credits("5"), at=bought)
    second = await expires_at(database, acme)
    assert second > first

    await warn(database, first - timedelta(days=1))
    assert len(await raised(database, acme)) == 1
    await warn(database, second - timedelta(days=7))
    assert len(await raised(database, acme)) == 2


async def test_a_mark_before_the_purchase_is_none(database: Database) -> None:
    """Credits for a month are not announced on the day they are bought; a week before they are."""
    acme = await add_business(database, topped_up="12", expires_after_months=1)
    end = await expires_at(database, acme)
    assert end == NOW + timedelta(days=30)

    await warn(database, NOW)
    await warn(database, NOW + timedelta(days=1))
    assert await raised(database, acme) == []

    await warn(database, end - timedelta(days=7))
    assert len(await raised(database, acme)) == 1


async def test_nobody_is_told_of_no_credits(database: Database) -> None:
    """Nothing of theirs expires."""
    acme = await add_business(database)

    await warn(database, NOW + timedelta(days=400))

    assert await raised(database, acme) == []


async def test_many_at_once_raise_one(database: Database) -> None:
    """Where two processes look, one alert is raised."""
    acme = await add_business(database, topped_up="12")
    mark = await expires_at(database, acme) - timedelta(days=7)

    await asyncio.gather(*(warn(database, mark) for _ in range(10)))

    assert len(await raised(database, acme)) == 1


async def test_a_few_at_a_time_reach_everybody(database: Database) -> None:
    """Those that were looked at make room for the others."""
    several = [
        await add_business(database, topped_up="12", expires_after_months=1) for _ in range(4)
    ]
    late = await add_business(database, topped_up="12", at=NOW - timedelta(hours=1))

    for _ in range(6):
        await warn(database, await expires_at(database, late) - timedelta(days=30), limit=1)
        await warn(database, NOW + timedelta(days=23, seconds=1), limit=1)

    assert [len(await raised(database, each)) for each in several] == [1, 1, 1, 1]


async def test_nobody_is_warned_of_credits_that_are_spent(database: Database) -> None:
    """There is nothing left that could expire."""
    acme = await add_business(database, topped_up="12")
    end = await expires_at(database, acme)
    spent = update(business_ai_credits).values(balance_microcredits=0)
    async with database.write() as connection:
        await connection.execute(spent.where(business_ai_credits.c.business_id == acme.id))

    await warn(database, end - timedelta(days=1))

    assert await raised(database, acme) == []
