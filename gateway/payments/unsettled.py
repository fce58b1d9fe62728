"""Paid, and not credited: what should be empty, and what an admin looks at when it is not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import shown
from storage import payment_checks, payment_problems, webhook_events

MOST = 500  # Of each kind; whoever has more has another trouble.
IN_TIME = timedelta(seconds=30)  # A webhook is acted on, and Redis has the credits, in one.


async def unsettled(connection: AsyncConnection, at: datetime) -> list[dict[str, Any]]:
    """
    Payments that a person must decide about, webhooks that nobody could act on, and
    purchases whose credits Redis does not have yet; each with why, the oldest first.
    """
    rows = [
        _row("problem", one.id, one.reference, one.purchase, one.why, one.at)
        for one in await payment_problems.page(connection, limit=MOST)
    ]
    rows += [
        _row("webhook", one.id, one.reference, None, one.kind, one.received_at)
        for one in await webhook_events.waiting(connection, limit=MOST)
        if one.received_at < at - IN_TIME
    ]
    rows += [
        _row("not_applied", one.id, one.payment_reference, one.id, "redis", one.completed_at)
        for one in await payment_checks.not_applied(connection, before=at - IN_TIME, limit=MOST)
    ]
    return sorted(rows, key=lambda row: str(row["since"]))


def _row(
    kind: str,
    id: str,
    reference: str | None,
    purchase: str | None,
    why: str,
    since: datetime | None,
) -> dict[str, Any]:
    return {
        "kind": kind,
        "id": id,
        "reference": reference,
        "purchase_id": purchase,
        "why": why,
        "since": shown.moment(since),
    }
