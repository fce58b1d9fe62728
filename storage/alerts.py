"""AIUsageAlert: a warning that was raised, once for each crossing of a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import Credits
from storage import pages
from storage.errors import NotFound
from storage.ids import known_id
from storage.tables import ai_usage_alerts as table


@dataclass(frozen=True, slots=True)
class Alert:
    """
    One warning.

    Attributes:
        alert_type: low_balance, depleted, expired or expiring_soon.
        credit_seq: The credit event that had armed it.
        delivery_state: pending, sent or failed.
    """

    id: str
    business: str
    alert_type: str
    current_balance: Credits
    threshold: Credits
    credit_seq: int
    sent_at: datetime
    acknowledged: bool
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    delivery_state: str


async def page(
    connection: AsyncConnection, business: str | None, *, limit: int, after: str | None = None
) -> list[Alert]:
    """
    Warnings, newest first; `after` is the last id seen.

    Args:
        business: Whose; everybody's when None.
    """
    found = await pages.newest(
        connection, table, noun="alert", limit=limit, after=after, business=business
    )
    return [_alert(row) for row in found]


async def get(connection: AsyncConnection, id: str) -> Alert:
    """
    One warning.

    Raises:
        NotFound: There is none with this id.
    """
    found = await connection.execute(select(table).where(table.c.id == known_id("alert", id)))
    row = found.one_or_none()
    if row is None:
        raise NotFound("alert", id)
    return _alert(row)


async def acknowledge(connection: AsyncConnection, id: str, *, by: str, at: datetime) -> Alert:
    """
    Note that somebody has seen a warning; who was first stays.

    Raises:
        NotFound: There is none with this id.
    """
    await connection.execute(
        update(table)
        .where(table.c.id == known_id("alert", id), table.c.acknowledged.is_(False))
        .values(acknowledged=True, acknowledged_by=by, acknowledged_at=at)
    )
    return await get(connection, id)


def _alert(row: Row[Any]) -> Alert:
    return Alert(
        id=row.id,
        business=row.business_id,
        alert_type=row.alert_type,
        current_balance=Credits(row.current_balance_microcredits),
        threshold=Credits(row.threshold_microcredits),
        credit_seq=row.credit_seq,
        sent_at=row.sent_at,
        acknowledged=row.acknowledged,
        acknowledged_by=row.acknowledged_by,
        acknowledged_at=row.acknowledged_at,
        delivery_state=row.delivery_state,
    )
