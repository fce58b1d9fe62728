"""The views for analysts: exact decimals under plain names, on both engines."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from metering.money import Credits
from storage import purchases
from storage.businesses import Business
from storage.database import Database
from storage.tables import ai_credit_purchases, ai_transactions, business_ai_credits
from tests.storage.outbox_entries import NOW, NOW_MS, Redis, add_business, record
from tests.storage.test_usage_daily import _call

pytestmark = pytest.mark.anyio

MOST = 10**15 - 1


async def asked(database: Database, sql: str) -> list[dict[str, Any]]:
    """The rows of a query."""
    async with database.read() as connection:
        return [dict(row._mapping) for row in await connection.execute(text(sql))]


def exact(amount: Any) -> Decimal:
    """An amount as a view answers it; never one that a double was made of."""
    assert isinstance(amount, (str, Decimal)), f"{amount!r} is a {type(amount)}"
    return Decimal(amount)


async def top_up(database: Database, business: Business, credits: str, **more: Any) -> None:
    async with database.write() as connection:
        await purchases.top_up(
            connection, business=business.id, credits=Credits.parse(credits), **more
        )


@pytest.mark.parametrize("amount", [MOST, -MOST, 0, 1, -1, 10**14 + 1, -999_999, 2**53 + 1])
async def test_amounts_are_exact(database: Database, amount: int) -> None:
    """Past what a double holds: the last micro-credit and pico-dollar is there, and the sign."""
    shop = await add_business(database)
    given = {"credits_used_microcredits": amount, "cost_to_us_picodollars": amount}
    async with database.write() as connection:
        await connection.execute(insert(ai_transactions).values(_call(shop, 1) | given))

    [row] = await asked(database, "SELECT credits_used, cost_to_us FROM v_ai_transactions")

    assert exact(row["credits_used"]) == Decimal(amount) / 10**6
    assert exact(row["cost_to_us"]) == Decimal(amount) / 10**12
    assert str(row["credits_used"]).partition(".")[2].isdigit()


async def test_a_rollup_of_the_largest_amounts_is_exact(database: Database) -> None:
    """Three calls of all that a business can have; sums are whole numbers until they are shown."""
    shop = await add_business(database)
    redis = Redis(shop.id)
    for _ in range(3):
        async with database.write() as connection:
            await connection.execute(update(business_ai_credits).values(balance_microcredits=MOST))
        row = {"cost_pico": str(MOST), "feature": "chat"}
        await record(database, redis.charges("0", charged=str(MOST), row=row))

    [daily] = await asked(database, "SELECT * FROM v_usage_daily")
    [month] = await asked(database, "SELECT * FROM v_margin_monthly")

    for credits, cost in (
        (daily["credits"], daily["cost"]),
        (month["credits_used"], month["cost_to_us"]),
    ):
        assert exact(credits) == Decimal(3 * MOST) / 10**6
        assert exact(cost) == Decimal(3 * MOST) / 10**12
    assert (daily["feature"], daily["user"], daily["business"]) == ("chat", None, "Acme")
    assert (daily["calls"], daily["credits_microcredits"]) == (3, 3 * MOST)


async def test_movements_have_their_sign(database: Database) -> None:
    """What was bought, what expired."""
    shop = await add_business(database, topped_up="50")
    await record(database, Redis(shop.id).expires("0.000001"))

    found = await asked(
        database, "SELECT kind, amount, requested FROM v_credit_movements ORDER BY kind"
    )

    assert [(row["kind"], exact(row["amount"])) for row in found] == [
        ("expired", Decimal("-0.000001")),
        ("purchase", Decimal(50)),
    ]


async def test_the_margin_keeps_currencies_apart(database: Database) -> None:
    """Usage stands in the row of the business's own currency; no money is added to another's."""
    shop = await add_business(database, currency="GHS")
    await top_up(database, shop, "30", bonus=Credits.parse("5"), amount_paid_minor=3000, at=NOW)
    await top_up(database, shop, "20", amount_paid_minor=2050, at=NOW)
    await top_up(database, shop, "7", amount_paid_minor=1234, currency="JPY", at=NOW)
    await top_up(database, shop, "7", amount_paid_minor=1234, currency="KWD", at=NOW)
    redis = Redis(shop.id)
    later = NOW_MS + 40 * 86_400_000
    await record(
        database,
        redis.charges("2.5", row={"cost_pico": "5"}),
        redis.charges("1", row={"success": False}),
        redis.charges("1", row={"started_at_ms": later}),
        redis.takes_back("3"),
        redis.expires("4"),
    )

    found = await asked(database, "SELECT * FROM v_margin_monthly ORDER BY month, currency")
    months = [(str(row["month"]), row["currency"]) for row in found]
    [own, yen, dinar, january] = found

    assert months == [
        ("2026-11-01", "GHS"), ("2026-11-01", "JPY"), ("2026-11-01", "KWD"), ("2027-01-01", "GHS"),
    ]  # fmt: skip
    assert [exact(row["money_paid"]) for row in found] == [
        Decimal("50.50"), Decimal(1234), Decimal("1.234"), Decimal(0),
    ]  # fmt: skip
    assert str(dinar["money_paid"]) == "1.234"
    assert [row["purchases"] for row in found] == [2, 1, 1, 0]
    assert [exact(row["credits_used"]) for row in found] == [Decimal("3.5"), 0, 0, 1]
    figures = ("credits_purchased", "bonus_credits", "credits_taken_back", "credits_expired")
    assert [exact(own[name]) for name in figures] == [
        Decimal(64),
        Decimal(5),
        Decimal(3),
        Decimal(4),
    ]
    assert [exact(yen[name]) for name in figures] == [0, 0, 0, 0]
    assert (own["calls"], own["failed"], january["calls"]) == (2, 1, 1)
    assert exact(own["cost_to_us"]) == Decimal("0.001250000005")


async def test_only_what_was_paid_is_revenue(database: Database) -> None:
    """A payment that is pending, failed or given back is none."""
    shop = await add_business(database)
    for number, status in enumerate(("completed", "pending", "failed", "refunded")):
        await top_up(database, shop, "1", amount_paid_minor=10**number, at=NOW)
        async with database.write() as connection:
            await connection.execute(
                update(ai_credit_purchases)
                .where(ai_credit_purchases.c.amount_paid_minor == 10**number)
                .values(payment_status=status)
            )

    [row] = await asked(database, "SELECT purchases, money_paid FROM v_margin_monthly")

    assert (row["purchases"], exact(row["money_paid"])) == (1, Decimal("0.01"))


async def test_the_liability_is_what_is_unspent(database: Database) -> None:
    """By the month in which it expires, in UTC; what is used up is none."""
    first, second, third = [await add_business(database, currency="GHS") for _ in range(3)]
    other = await add_business(database, currency="NGN", expires_after_months=1)
    await top_up(database, first, "30.000001", at=datetime(2026, 5, 31, 23, 59, tzinfo=UTC))
    await top_up(database, second, "20", at=datetime(2026, 5, 1, tzinfo=UTC))
    await top_up(database, third, "5", at=NOW)
    await top_up(database, other, "7", at=NOW - timedelta(days=22))
    await record(database, Redis(third.id).charges("5"))

    found = await asked(database, "SELECT * FROM v_liability ORDER BY expiry_month, currency")

    assert [
        (
            str(row["expiry_month"]),
            row["currency"],
            row["businesses"],
            exact(row["credits_unspent"]),
        )
        for row in found
    ] == [
        ("2026-11-01", "GHS", 2, Decimal("50.000001")),
        ("2026-11-01", "NGN", 1, Decimal(7)),
    ]
    assert {date.fromisoformat(str(row["expiry_month"])).day for row in found} == {1}
