"""What an admin asks of payments, once with each answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from storage import payment_problems
from storage.database import Database

Asks = Callable[..., Awaitable[Any]]


async def payments_asked(asks: Asks, database: Database, purchase: str) -> None:
    """Two payments that wait, one taken and one not; and a refund of what was granted."""
    found = {"amount_minor": 3000, "currency": "GHS", "method": "card", "answer": {}}
    async with database.write() as connection:
        for reference in ("one", "two"):
            await payment_problems.note(
                connection,
                provider="paystack",
                reference=reference,
                why="late",
                purchase=purchase,
                expected={},
                found=found,
                at=datetime.now(UTC),
            )
    await asks("GET", "/admin/payments/unsettled")
    problems = (await asks("GET", "/admin/payments/problems"))["data"]
    why = {"reason": "looked into it"}
    for verb, problem in zip(("accept", "dismiss"), problems, strict=True):
        await asks("POST", f"/admin/payments/problems/{{id}}/{verb}", problem["id"], why)
        await asks("POST", f"/admin/payments/problems/{{id}}/{verb}", problem["id"], why)
    again = {"Idempotency-Key": "r"}
    await asks("POST", "/admin/purchases/{id}/refund", purchase, why, headers=again)
    await asks("POST", "/admin/purchases/{id}/refund", purchase, why, headers=again)
    refused = await asks("POST", "/admin/purchases/{id}/refund", purchase, why)
    assert refused["error"]["code"] == "conflict"
