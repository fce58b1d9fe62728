"""Receipts, expiry by calendar months, and corrections by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from metering.money import MOST_MICROCREDITS, Credits
from storage import movements, purchases
from storage.database import Database
from storage.errors import BadAmount, Conflict, NotFound
from storage.ids import new_id
from storage.purchases import months_later
from tests.storage.outbox_entries import NOW, add_business, credits, ledger_row

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("bought", "months", "expires"),
    [
        ("2026-08-31", 6, "2027-02-28"),
        ("2027-08-31", 6, "2028-02-29"),
        ("2026-11-22", 6, "2027-05-22"),
        ("2026-12-31", 1, "2027-01-31"),
        ("2026-05-31", 6, "2026-11-30"),
        ("2026-02-28", 12, "2027-02-28"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2026-01-15", 0, "2026-01-15"),
    ],
)
def test_months_are_calendar_months_clamped_to_the_end(
    bought: str, months: int, expires: str
) -> None:
    """31 August and six months is the last day of February, with the same time of day."""
    at = datetime.fromisoformat(bought).replace(hour=9, minute=30, tzinfo=UTC)

    later = months_later(at, months)

    assert later.isoformat() == f"{expires}T09:30:00+00:00"


async def test_a_top_up_is_a_receipt_and_one_event_for_each_part(database: Database) -> None:
    """What was paid for and what was given on top stay apart in the books."""
    acme = await add_business(database)

    async with database.write() as connection:
        purchase = await purchases.top_up(
            connection,
            business=acme.id,
            credits=credits("80"),
            bonus=credits("20"),
            amount_paid_minor=8000,
            currency="GHS",
            provider="paystack",
            reference="ref-1",
            method="mobile_money",
            package="Value",
            at=NOW,
        )
        stored = await purchases.get(connection, purchase.id)
        events = await movements.pending(connection, acme.id)

    assert stored == purchase
    assert (stored.amount_paid_minor, stored.payment_status) == (8000, "completed")
    assert [event.amount for event in events] == [credits("80"), credits("20")]
    assert purchase.credit_seq == events[-1].credit_seq == 2
    row = await ledger_row(database, acme)
    assert (row.balance, row.expires_at) == (credits("100"), months_later(NOW, 6))


async def test_a_payment_is_credited_once(database: Database) -> None:
    """However often the provider tells us, at once or one after the other."""
    acme = await add_business(database)

    async def pay() -> None:
        async with database.write() as connection:
            await purchases.top_up(
                connection,
                business=acme.id,
                credits=credits("30"),
                provider="paystack",
                reference="ref-1",
                at=NOW,
            )

    results = await asyncio.gather(*(pay() for _ in range(5)), return_exceptions=True)

    assert results.count(None) == 1
    assert all(isinstance(each, Conflict) for each in results if each is not None)
    row = await ledger_row(database, acme)
    assert (row.balance, row.credit_seq) == (credits("30"), 1)


async def test_one_reference_of_two_providers_is_two_payments(database: Database) -> None:
    """A reference means something to the provider who gave it."""
    acme = await add_business(database)

    async with database.write() as connection:
        for provider in ("paystack", "stripe"):
            await purchases.top_up(
                connection,
                business=acme.id,
                credits=credits("1"),
                provider=provider,
                reference="ref-1",
                at=NOW,
            )

    assert (await ledger_row(database, acme)).balance == credits("2")


async def test_a_purchase_moves_the_expiry_of_the_whole_balance(database: Database) -> None:
    """One balance, one expiry."""
    acme = await add_business(database, topped_up="10")
    later = NOW + timedelta(days=40)

    async with database.write() as connection:
        await purchases.top_up(connection, business=acme.id, credits=credits("1"), at=later)

    row = await ledger_row(database, acme)
    assert (row.expires_at, row.purchased_at) == (months_later(later, 6), NOW)


@pytest.mark.parametrize(
    ("credits_micro", "bonus_micro", "paid"),
    [
        (0, 0, 0),
        (-1, 0, 0),
        (1, -1, 0),
        (MOST_MICROCREDITS, 1, 0),
        (1, 0, -1),
        (1, 0, MOST_MICROCREDITS + 1),
    ],
)
async def test_amounts_that_are_no_purchase_are_refused(
    database: Database, credits_micro: int, bonus_micro: int, paid: int
) -> None:
    """And nothing is changed."""
    acme = await add_business(database)

    async with database.write() as connection:
        with pytest.raises(BadAmount):
            await purchases.top_up(
                connection,
                business=acme.id,
                credits=Credits(credits_micro),
                bonus=Credits(bonus_micro),
                amount_paid_minor=paid,
                at=NOW,
            )
        receipts = await purchases.page(connection, acme.id, limit=5)

    assert receipts == []
    assert (await ledger_row(database, acme)).credit_seq == 0


async def test_a_top_up_needs_a_business(database: Database) -> None:
    """Nothing is stored for one that is not there."""
    async with database.write() as connection:
        with pytest.raises(NotFound, match="no business"):
            await purchases.top_up(connection, business=new_id(), credits=credits("1"), at=NOW)


async def test_an_adjustment_adds_until_the_day_that_was(database: Database) -> None:
    """A correction is no purchase; it prolongs nothing."""
    acme = await add_business(database, topped_up="10")
    later = NOW + timedelta(days=40)

    async with database.write() as connection:
        event = await purchases.adjust(
            connection,
            business=acme.id,
            credits=credits("2.5"),
            reason="an outage",
            user="ama",
            at=later,
        )

    assert (event.verb, event.amount) == ("add", credits("2.5"))
    row = await ledger_row(database, acme)
    assert (row.balance, row.expires_at) == (credits("12.5"), months_later(NOW, 6))


async def test_an_adjustment_of_an_empty_balance_lasts_like_a_purchase(database: Database) -> None:
    """Otherwise the first credits of a business would have no last day."""
    acme = await add_business(database, expires_after_months=3)

    async with database.write() as connection:
        await purchases.adjust(
            connection, business=acme.id, credits=credits("1"), reason="hello", user="ama", at=NOW
        )

    assert (await ledger_row(database, acme)).expires_at == months_later(NOW, 3)


async def test_a_negative_adjustment_asks_redis_to_take(database: Database) -> None:
    """SQL stores the request; the outbox brings back what was there."""
    acme = await add_business(database, topped_up="10")

    async with database.write() as connection:
        event = await purchases.adjust(
            connection,
            business=acme.id,
            credits=credits("-4"),
            reason="a mistake",
            user="ama",
            at=NOW,
        )

    assert (event.verb, event.amount) == ("take", credits("4"))
    assert (await ledger_row(database, acme)).balance == credits("10")


async def test_receipts_are_paged_from_the_newest(database: Database) -> None:
    """One business's, or everybody's."""
    acme, bold = [await add_business(database, topped_up="10") for _ in range(2)]
    async with database.write() as connection:
        for _ in range(3):
            await purchases.top_up(connection, business=acme.id, credits=credits("1"), at=NOW)

    async with database.read() as connection:
        first = await purchases.page(connection, acme.id, limit=3)
        rest = await purchases.page(connection, acme.id, limit=3, after=first[-1].id)
        everybodys = await purchases.page(connection, None, limit=10)
        with pytest.raises(NotFound):
            await purchases.get(connection, new_id())

    ids = [receipt.id for receipt in first + rest]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 4
    assert {receipt.business for receipt in everybodys} == {acme.id, bold.id}
