"""Businesses and how Redis learns of their status."""

from __future__ import annotations

from datetime import timedelta

import pytest

from metering.money import Credits
from storage import businesses, movements
from storage.database import Database
from storage.errors import NotFound
from storage.ids import new_id
from tests.storage.outbox_entries import NOW, add_business, credits, ledger_row

pytestmark = pytest.mark.anyio


async def test_a_new_business_has_a_balance_of_nothing(database: Database) -> None:
    """The active row is there from the first day, so that everything later only changes it."""
    acme = await add_business(database, time_zone="Africa/Lagos", owner_phone="+233200000000")

    async with database.read() as connection:
        assert await businesses.get(connection, acme.id) == acme
        assert await businesses.get(connection, acme.id.upper().replace("-", "")) == acme
    assert acme.status == "active"
    row = await ledger_row(database, acme)
    assert (row.balance, row.owed, row.seq, row.credit_seq) == (Credits(0), Credits(0), 0, 0)
    assert (row.expires_at, row.epoch) == (None, 0)


async def test_a_status_travels_as_a_credit_event_of_nothing(database: Database) -> None:
    """Suspend and resume reach Redis in their order with the money."""
    acme = await add_business(database, topped_up="30")

    async with database.write() as connection:
        suspended = await businesses.set_status(connection, acme.id, status="suspended", at=NOW)
        again = await businesses.set_status(connection, acme.id, status="suspended", at=NOW)
        resumed = await businesses.set_status(connection, acme.id, status="active", at=NOW)
        events = await movements.pending(connection, acme.id, 1)

    assert (suspended.status, again.status, resumed.status) == ("suspended", "suspended", "active")
    assert [(event.verb, event.amount, event.status) for event in events] == [
        ("configure", Credits(0), "suspended"),
        ("configure", Credits(0), "active"),
    ]
    row = await ledger_row(database, acme)
    assert row.expires_at is not None
    assert {event.expires_at_ms for event in events} == {movements.as_ms(row.expires_at)}


async def test_a_suspended_business_can_be_topped_up(database: Database) -> None:
    """The event says the status that holds, so that money does not resume anybody."""
    acme = await add_business(database)

    async with database.write() as connection:
        await businesses.set_status(connection, acme.id, status="suspended", at=NOW)
        event = await movements.write_event(
            connection,
            business=acme.id,
            kind="bonus",
            verb="add",
            amount=credits("1"),
            expires_at=NOW + timedelta(days=1),
            reference=None,
            reason=None,
            at=NOW,
        )

    assert event.status == "suspended"


async def test_an_unknown_business_is_said_to_be_unknown(database: Database) -> None:
    """With the id that was asked for, cut short when somebody sends a book."""
    async with database.write() as connection:
        for id in (new_id(), "nobody", "x" * 10_000):
            with pytest.raises(NotFound) as refused:
                await businesses.get(connection, id)
            with pytest.raises(NotFound):
                await businesses.set_status(connection, id, status="active", at=NOW)

            assert len(str(refused.value)) < 120
            assert refused.value.noun == "business"


async def test_businesses_are_paged_from_the_newest(database: Database) -> None:
    """`after` is the last id seen."""
    ids = [(await add_business(database)).id for _ in range(5)]

    async with database.read() as connection:
        first = await businesses.page(connection, limit=2)
        rest = await businesses.page(connection, limit=10, after=first[-1].id)

    assert [business.id for business in first + rest] == ids[::-1]
