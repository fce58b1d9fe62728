"""A million calls of half a year in SQL, as the recorder would have left them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from storage import schema, usage_daily
from storage.bulk_insert import insert_rows
from storage.database import Database
from storage.ids import new_id
from storage.tables import (
    ai_credit_purchases,
    ai_transactions,
    business_ai_credits,
    businesses,
    credit_movements,
)

END = datetime(2026, 11, 22, tzinfo=UTC)
DAYS = 183
MONTHS = 6
AT_ONCE = 10_000

FEATURES = ("product_description", "chat", "summary", "translation", None)
MODELS = ("gpt-5", "gpt-5-mini", "gpt-5.4-mini")
ZONES = ("Africa/Accra", "Africa/Lagos", "Africa/Nairobi")
USERS = 40  # Of each business; some call more than others.
CREDITS_BOUGHT = 5_000_000_000

Say = Callable[[str], object]


@dataclass(frozen=True)
class Size:
    """How much is filled in."""

    calls: int = 1_000_000
    businesses: int = 1_000


async def fill(database: Database, size: Size, say: Say) -> list[str]:
    """
    The schema and its rows; answers the ids of the businesses.

    The calls come without a day, as those of before an upgrade, and are then counted by
    what counts those.
    """
    await schema.upgrade(database)
    random = Random(20261122)
    shops = [new_id() for _ in range(size.businesses)]
    balances = {shop: new_id() for shop in shops}
    async with database.write() as connection:
        await connection.execute(
            insert(businesses), [_business(n, id) for n, id in enumerate(shops)]
        )
        await connection.execute(
            insert(business_ai_credits), [_balance(shop, id) for shop, id in balances.items()]
        )
        purchases = [_purchase(shop, month) for shop in shops for month in range(MONTHS)]
        await insert_rows(connection, ai_credit_purchases, purchases)
        movements = [
            _movement(purchase, balances[purchase["business_id"]]) for purchase in purchases
        ]
        await insert_rows(connection, credit_movements, movements)
    say(f"{size.businesses} businesses, {len(purchases)} purchases")
    calls = _calls(random, shops, size.calls)
    for done in range(0, size.calls, AT_ONCE):
        rows = [next(calls) for _ in range(min(AT_ONCE, size.calls - done))]
        async with database.write() as connection:
            await insert_rows(connection, ai_transactions, rows)
        if done % (10 * AT_ONCE) == 0:
            say(f"{done} calls")
    return shops


async def count(database: Database, say: Say) -> int:
    """Count every call for the rollup; answers how many there were."""
    total, counted = 0, AT_ONCE
    while counted == AT_ONCE:
        async with database.write() as connection:
            counted = await usage_daily.catch_up(connection, limit=AT_ONCE)
        total += counted
        if total % (10 * AT_ONCE) == 0:
            say(f"{total} counted")
    return total


def _calls(random: Random, shops: list[str], count: int) -> Iterator[dict[str, Any]]:
    """Calls in the order of their times, some businesses calling more than others."""
    seqs = dict.fromkeys(shops, 0)
    busy = [1 / (place + 20) for place in range(len(shops))]
    step = timedelta(days=DAYS) / count
    for number in range(count):
        if number % AT_ONCE == 0:
            callers = random.choices(shops, busy, k=AT_ONCE)
        shop = callers[number % AT_ONCE]
        seqs[shop] += 1
        yield _call(random, shop, seqs[shop], END - timedelta(days=DAYS) + number * step)


def _call(random: Random, shop: str, seq: int, at: datetime) -> dict[str, Any]:
    tokens = random.randrange(50, 3000)
    fails = random.random() < 0.02
    return {
        "id": _id_of(random, at),
        "business_id": shop,
        "key_id": None,
        "user": f"user-{min(random.randrange(USERS), random.randrange(USERS))}",
        "feature": random.choice(FEATURES),
        "endpoint": "chat.completions",
        "model": random.choice(MODELS),
        "credits_used_microcredits": 0 if fails else tokens * 37,
        "cost_to_us_picodollars": 0 if fails else tokens * 1_250_000,
        "tokens_used": 0 if fails else tokens,
        "usage": {"input": tokens // 2, "output": tokens - tokens // 2},
        "usage_source": "none" if fails else "reported",
        "estimated": False,
        "timestamp": at,
        "success": not fails,
        "http_status": 502 if fails else 200,
        "processing_time_ms": random.randrange(200, 9000),
        "first_byte_ms": random.randrange(100, 900),
        "credits_held_microcredits": tokens * 60,
        "shortfall_microcredits": 0,
        "outcome": "released" if fails else "settled",
        "adjusts": None,
        "price_version": "2026-10-12.60f9ff8e",
        "upstream_request_id": f"req_{random.getrandbits(64):016x}",
        "epoch": 1,
        "seq": seq,
        "recorded_at": at + timedelta(seconds=1),
        "day": None,
    }


def _id_of(random: Random, at: datetime) -> str:
    """A UUIDv7 as it would have been made at that time."""
    milliseconds = int(at.timestamp() * 1000)
    return str(
        UUID(int=milliseconds << 80 | 7 << 76 | random.getrandbits(12) << 64 | 2 << 62
             | random.getrandbits(62))
    )  # fmt: skip


def _business(number: int, id: str) -> dict[str, Any]:
    return {
        "id": id,
        "name": f"Shop {number}",
        "owner_email": f"owner-{number}@example.com",
        "status": "active",
        "currency": "GHS" if number % 5 else "NGN",
        "time_zone": ZONES[number % len(ZONES)],
        "low_balance_threshold_microcredits": 10_000_000,
        "expires_after_months": 6,
        "settings": {},
        "created_at": END - timedelta(days=DAYS),
        "updated_at": END,
    }


def _balance(shop: str, id: str) -> dict[str, Any]:
    return {
        "id": id,
        "business_id": shop,
        "balance_microcredits": CREDITS_BOUGHT,
        "expires_at": END + timedelta(days=150),
        "is_active": True,
        "updated_at": END,
        "epoch": 1,
        "seq": 0,
        "credit_seq": MONTHS,
        "owed_microcredits": 0,
        "alerted": 0,
    }


def _purchase(shop: str, month: int) -> dict[str, Any]:
    at = END - timedelta(days=DAYS) + timedelta(days=30 * month)
    id = new_id()
    return {
        "id": id,
        "business_id": shop,
        "amount_paid_minor": 300_000,
        "currency": "GHS",
        "credits_purchased_microcredits": CREDITS_BOUGHT,
        "bonus_credits_microcredits": 0,
        "provider": "paystack",
        "payment_reference": id,
        "payment_status": "completed",
        "payment_method": "mobile_money",
        "tax_lines": [],
        "credit_seq": month + 1,
        "created_at": at,
        "completed_at": at,
        "applied_at": at,
    }


def _movement(purchase: dict[str, Any], balance: str) -> dict[str, Any]:
    return {
        "id": new_id(),
        "business_id": purchase["business_id"],
        "balance_id": balance,
        "kind": "purchase",
        "amount_microcredits": CREDITS_BOUGHT,
        "requested_microcredits": CREDITS_BOUGHT,
        "credit_seq": purchase["credit_seq"],
        "event": {},
        "reference": purchase["id"],
        "at": purchase["completed_at"],
        "applied_at": purchase["completed_at"],
    }
