"""The daily rollup is the sum of the transactions: always, and of each one once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime
from random import Random
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import transactions, usage_daily
from storage.businesses import Business
from storage.database import Database
from storage.ids import new_id
from storage.outbox import Entry
from storage.tables import ai_transactions, businesses
from tests.storage.outbox_entries import NOW, NOW_MS, Redis, add_business, record
from tests.storage.rolled_up import grouped, rollup

pytestmark = pytest.mark.anyio

HOUR_MS = 3_600_000
ZONES = ("Africa/Accra", "Asia/Tokyo", "America/St_Johns", "Europe/Berlin")


def some_call(random: Random, redis: Redis, before: list[Entry]) -> Entry:
    """Any call: of any day, feature, user and model, failed ones and corrections too."""
    row = {
        "feature": random.choice([None, "", "chat", "product_description"]),
        "user": random.choice([None, "ama", "kofi", "Ɛsi"]),
        "model": random.choice(["gpt-5", "gpt-5-mini"]),
        "success": random.random() < 0.8,
        "cost_pico": str(random.randrange(10**12)),
        "started_at_ms": NOW_MS - random.randrange(72) * HOUR_MS,
    }
    if before and random.random() < 0.2:
        row["adjusts"] = random.choice(before).id
        return redis.charges(f"-0.0{random.randrange(1, 99):02}", outcome="adjusted", row=row)
    return redis.charges(f"0.{random.randrange(10**6):06}", row=row)


@asynccontextmanager
async def undone(database: Database) -> AsyncIterator[AsyncConnection]:
    """A transaction that is taken back at its end."""
    with suppress(ZeroDivisionError):
        async with database.write() as connection:
            yield connection
            raise ZeroDivisionError


async def insert_calls(database: Database, business: Business, count: int) -> None:
    """Calls as a gateway without the rollup recorded them."""
    rows = [_call(business, seq) for seq in range(1, count + 1)]
    async with database.write() as connection:
        await connection.execute(insert(ai_transactions), rows)


def _call(business: Business, seq: int) -> dict[str, Any]:
    return {
        "id": new_id(), "business_id": business.id, "endpoint": "chat.completions",
        "model": "gpt-5", "credits_used_microcredits": seq, "cost_to_us_picodollars": 3 * seq,
        "tokens_used": 120, "usage": {"input": 120}, "usage_source": "reported",
        "estimated": False, "timestamp": NOW, "success": True, "credits_held_microcredits": 0,
        "shortfall_microcredits": 0, "outcome": "settled", "price_version": "v", "epoch": 1,
        "seq": seq, "recorded_at": NOW,
    }  # fmt: skip


async def is_the_sum_of_the_rows(database: Database) -> int:
    """Compare; answers how many groups there are."""
    async with database.read() as connection:
        found, expected = await rollup(connection), await grouped(connection)
    assert found == expected
    return len(found)


@pytest.mark.parametrize("seed", range(5))
async def test_after_any_work_the_rollup_is_the_sum_of_the_rows(
    database: Database, seed: int
) -> None:
    """Batches that come again, calls that failed, corrections, four time zones."""
    random = Random(seed)
    shops = [await add_business(database, topped_up="900", time_zone=zone) for zone in ZONES]
    ledgers = [Redis(shop.id) for shop in shops]
    known: list[Entry] = []
    for _ in range(12):
        batch = [
            some_call(random, random.choice(ledgers), known) for _ in range(random.randrange(1, 30))
        ]
        await record(database, *random.sample(known, min(len(known), 5)), *batch)
        known += batch

    assert await is_the_sum_of_the_rows(database) > 50


async def test_a_batch_that_is_taken_back_leaves_no_sum(database: Database) -> None:
    """Rows and sums are one transaction: both are there, or neither."""
    acme = await add_business(database, topped_up="50")
    entry = Redis(acme.id).charges("2.5")

    async with undone(database) as connection:
        await transactions.record(connection, [entry], at=NOW)

    assert await is_the_sum_of_the_rows(database) == 0


async def test_recorders_that_meet_count_each_call_once(database: Database) -> None:
    """The same groups from many sides at once: nobody waits in a circle."""
    random = Random(7)
    shops = [await add_business(database, topped_up="900") for _ in range(6)]
    await insert_calls(database, await add_business(database), 300)
    entries = [
        some_call(random, redis, [])
        for redis in map(Redis, (s.id for s in shops))
        for _ in range(40)
    ]
    other_way = sorted(entries, key=lambda entry: (-entry.partition, entry.business, entry.seq))

    async def count_what_was_there() -> None:
        for _ in range(20):
            async with database.write() as connection:
                await usage_daily.catch_up(connection, limit=50)

    await asyncio.gather(
        *(record(database, *entries) for _ in range(3)),
        *(record(database, *other_way) for _ in range(3)),
        *(count_what_was_there() for _ in range(3)),
    )

    await is_the_sum_of_the_rows(database)


async def test_nobody_waits_in_a_circle(database: Database) -> None:
    """Whoever adds to many groups does so in one order, however the rows come."""
    shop = await add_business(database)
    rows = [_call(shop, seq) | {"user": f"user-{seq}", "feature": None} for seq in range(500)]
    rows = [row | {"day": date(2026, 11, 22)} for row in rows]

    async def add(some: list[dict[str, Any]]) -> None:
        async with database.write() as connection:
            await usage_daily.add(connection, some)

    for _ in range(5):
        await asyncio.gather(*(add(rows[::way]) for way in (1, -1, 1, -1)))

    async with database.read() as connection:
        found = await rollup(connection)
    assert len(found) == 500
    assert {group[6] for group in found} == {20}


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Africa/Accra", date(2026, 11, 30)),
        ("Asia/Tokyo", date(2026, 12, 1)),
        ("Pacific/Honolulu", date(2026, 11, 30)),
        ("Nowhere/Unknown", date(2026, 11, 30)),
    ],
)
async def test_a_day_is_the_business_own(database: Database, zone: str, day: date) -> None:
    """23:30 in London is tomorrow in Tokyo; a zone that nobody knows loses no call."""
    shop = await add_business(database, topped_up="50", time_zone=zone)
    at = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
    row = {"started_at_ms": int(at.timestamp() * 1000)}

    await record(database, Redis(shop.id).charges("1", row=row))

    async with database.read() as connection:
        [call] = await transactions.page(connection, shop.id, limit=10)
        [group] = await rollup(connection)
    assert (call.day, group[1]) == (day, day)


async def test_a_business_that_moves_loses_no_call(database: Database) -> None:
    """Each call keeps the day it was counted under; a new zone holds for what comes."""
    shop = await add_business(database, topped_up="50", time_zone="Pacific/Honolulu")
    redis = Redis(shop.id)
    first = redis.charges("1", row={"started_at_ms": NOW_MS - 4 * HOUR_MS})
    await record(database, first)
    async with database.write() as connection:
        await connection.execute(update(businesses).values(time_zone="Pacific/Auckland"))

    await record(database, first, redis.charges("1", row={"started_at_ms": NOW_MS - 4 * HOUR_MS}))

    assert await is_the_sum_of_the_rows(database) == 2
    async with database.read() as connection:
        days = {group[1]: group[6] for group in await rollup(connection)}
    assert days == {date(2026, 11, 21): 1, date(2026, 11, 22): 1}


async def test_what_was_recorded_before_is_counted_in_pieces(database: Database) -> None:
    """It may stop anywhere, be taken back, and go on; a gateway of before may go on recording."""
    shop = await add_business(database, topped_up="50", time_zone="Asia/Tokyo")
    await insert_calls(database, shop, 25)

    async with database.write() as connection:
        assert await usage_daily.catch_up(connection, limit=10) == 10
    async with undone(database) as connection:
        await usage_daily.catch_up(connection, limit=10)
    counted = []
    for _ in range(3):
        async with database.write() as connection:
            counted.append(await usage_daily.catch_up(connection, limit=10))

    assert counted == [10, 5, 0]
    assert await is_the_sum_of_the_rows(database) == 1
    async with database.read() as connection:
        [group] = await rollup(connection)
        missing = await connection.scalars(
            select(ai_transactions.c.id).where(ai_transactions.c.day.is_(None))
        )
    assert group[6:] == (25, 0, 25 * 120, 325, 975)
    assert missing.all() == []
