"""The margin of each month beside the plain sums of what it is made of."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import insert, text

from metering.money import Credits
from storage import purchases, usage_daily
from storage.businesses import Business
from storage.database import Database
from storage.tables import ai_transactions
from tests.storage.outbox_entries import NOW, add_business
from tests.storage.test_usage_daily import _call

pytestmark = pytest.mark.anyio

ZONES = ("UTC", "Africa/Accra", "Pacific/Auckland", "America/Los_Angeles")
USED = ("calls", "failed", "tokens", "credits_used_microcredits", "cost_to_us_picodollars")
PLAIN = """
    SELECT business_id, substr(CAST(day AS VARCHAR(10)), 1, 7) AS month,
        SUM(CASE WHEN outcome <> 'adjusted' THEN 1 ELSE 0 END) AS calls,
        SUM(CASE WHEN outcome <> 'adjusted' AND NOT success THEN 1 ELSE 0 END) AS failed,
        SUM(tokens_used) AS tokens,
        SUM(credits_used_microcredits) AS credits_used_microcredits,
        SUM(cost_to_us_picodollars) AS cost_to_us_picodollars
    FROM ai_transactions GROUP BY business_id, substr(CAST(day AS VARCHAR(10)), 1, 7)
"""


def near_the_end_of_a_month(random: Random) -> datetime:
    """Within a day of it, so that it is another month elsewhere; of two years, with gaps."""
    year, month = random.choice([(2025, 1), (2025, 12), (2026, 1), (2026, 3), (2026, 11)])
    return NOW.replace(year=year, month=month, day=1, hour=0) + timedelta(
        minutes=random.randrange(-1440, 1440)
    )


def some_calls(random: Random, shops: list[Business], count: int) -> list[dict[str, Any]]:
    """Rows of every outcome, corrections below zero among them."""
    calls = []
    for number in range(count):
        outcome = random.choice(("settled", "settled", "released", "orphaned", "adjusted"))
        sign = -1 if outcome == "adjusted" else 1
        calls.append(
            _call(random.choice(shops), number)
            | {
                "timestamp": near_the_end_of_a_month(random),
                "outcome": outcome,
                "success": outcome == "settled",
                "tokens_used": random.randrange(5000),
                "credits_used_microcredits": sign * random.randrange(10**12),
                "cost_to_us_picodollars": sign * random.randrange(10**15),
                "feature": random.choice(("chat", None)),
                "user": None,
            }
        )
    return calls


async def rows(database: Database, query: str) -> list[dict[str, Any]]:
    async with database.read() as connection:
        return [dict(row._mapping) for row in await connection.execute(text(query))]


@pytest.mark.parametrize("seed", range(3))
async def test_the_usage_of_a_month_is_the_sum_of_its_calls(database: Database, seed: int) -> None:
    """Of each business, in the months of its own days; where none called there is no row."""
    random = Random(seed)
    shops = [await add_business(database, time_zone=zone) for zone in ZONES]
    calls = some_calls(random, shops, 300)
    async with database.write() as connection:
        await usage_daily.name_days(connection, calls)
        await connection.execute(insert(ai_transactions), calls)
        await usage_daily.add(connection, calls)

    found = await rows(database, "SELECT * FROM v_margin_monthly")
    plain = await rows(database, PLAIN)

    assert {
        (row["business_id"], str(row["month"])[:7]): [int(row[name]) for name in USED]
        for row in found
    } == {(row["business_id"], row["month"]): [int(row[name]) for name in USED] for row in plain}
    assert len(found) == len(plain) > 20
    assert {str(row["month"])[8:10] for row in found} == {"01"}


async def test_money_stands_in_its_month_with_calls_or_without(database: Database) -> None:
    """What was paid is added up by its month in UTC; each month has one row."""
    random = Random(1)
    shops = [await add_business(database, currency="GHS") for _ in range(3)]
    paid: Counter[tuple[str, str]] = Counter()
    async with database.write() as connection:
        for _ in range(40):
            shop, at = random.choice(shops), near_the_end_of_a_month(random)
            amount = random.randrange(1, 10_000)
            await purchases.top_up(
                connection,
                business=shop.id,
                credits=Credits(amount),
                amount_paid_minor=amount,
                at=at,
            )
            paid[shop.id.replace("-", ""), str(at)[:7]] += amount

        calls = some_calls(random, shops, 100)
        await usage_daily.name_days(connection, calls)
        await connection.execute(insert(ai_transactions), calls)
        await usage_daily.add(connection, calls)

    found = await rows(database, "SELECT * FROM v_margin_monthly")
    keys = [(str(row["business_id"]).replace("-", ""), str(row["month"])[:7]) for row in found]

    assert len(set(keys)) == len(keys)
    assert {
        key: int(row["money_paid_minor"])
        for key, row in zip(keys, found, strict=True)
        if row["money_paid_minor"]
    } == paid
    one = "SELECT COUNT(*) AS months FROM v_margin_monthly WHERE month = '2026-11-01'"
    assert (await rows(database, one))[0]["months"] == sum(key[1] == "2026-11" for key in keys)
