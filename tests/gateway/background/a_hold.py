"""A hold that a test makes by itself, and how the call behind it ends."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.settlement import Settlement
from metering.money import Credits
from storage import redis_keys
from storage.balances import Hold
from storage.ids import new_id
from tests.house import MODEL, Acme

ROW: dict[str, object] = {
    "key_id": None,
    "user": None,
    "feature": None,
    "endpoint": "chat.completions",
    "model": MODEL,
    "usage": {"input": 3, "output": 4},
    "usage_source": "reported",
    "estimated": False,
    "cost_pico": "20250000",
    "tokens_used": 7,
    "started_at_ms": 1_795_000_000_000,
    "success": True,
    "http_status": 200,
    "processing_ms": 5,
    "first_byte_ms": 4,
    "price_version": "test",
    "upstream_request_id": "req_1",
    "adjusts": None,
}


async def a_hold(acme: Acme, credits: str, *, lease_s: float = 60.0) -> Hold:
    """So many credits are set aside."""
    amount = Credits.parse(credits)
    ledger = acme.house.parts.ledger
    note = Settlement(acme.id, "", amount, "", amount, {**ROW, "estimated": True}).row_text()
    return await ledger.balances.hold(
        business=acme.id, id=new_id(), ceiling=amount, floor=amount, lease_s=lease_s, note=note
    )


def settlement_of(hold: Hold, credits: str, **more: Any) -> Settlement:
    """The call behind a hold has ended and costs so much."""
    amount = Credits.parse(credits)
    return Settlement(hold.business, hold.id, amount, "settled", hold.granted, ROW, **more)


async def lease_ended(acme: Acme) -> None:
    """Wait until a hold of the business is past its lease, by the clock of Redis."""
    partition = redis_keys.partition_of(acme.id)
    while not await acme.house.parts.ledger.balances.overdue(partition):
        await asyncio.sleep(0.001)
