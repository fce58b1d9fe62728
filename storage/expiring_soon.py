"""Warnings before credits expire: one for each mark of days, and again when the expiry moves."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import exists, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import insert_if_new
from storage.deliveries import Channel, raise_alerts
from storage.ids import new_id
from storage.tables import business_ai_credits as balances
from storage.tables_alerts import expiry_warnings


async def warn(
    connection: AsyncConnection,
    *,
    days: Collection[int],
    channels: Collection[Channel],
    at: datetime,
    limit: int,
) -> int:
    """
    Raise what is due: for each balance the last mark that it has passed.

    A mark that a purchase finds passed already is not one: who has just bought credits for a
    month need not be told that they expire in 30 days. Nor is anybody told of no credits.

    Returns:
        How many marks were looked at; as many as `limit` may mean that there are more.
    """
    looked_at = 0
    for sooner, mark in pairwise((0, *sorted(set(days)))):
        rows = await _passed(connection, sooner, mark, at=at, limit=limit - looked_at)
        for row in rows:
            if await _is_first(connection, row, mark) and _is_after_purchase(row, mark):
                await _raise(connection, row, mark, channels, at)
        looked_at += len(rows)
    return looked_at


async def _passed(
    connection: AsyncConnection, sooner: int, mark: int, *, at: datetime, limit: int
) -> list[Row[Any]]:
    columns, warned = balances.c, expiry_warnings.c
    told = exists().where(
        warned.business_id == columns.business_id,
        warned.expires_at == columns.expires_at,
        warned.days_before == mark,
    )
    query = (
        select(balances)
        .where(columns.is_active, columns.balance_microcredits > 0, ~told)
        .where(columns.expires_at > at + timedelta(days=sooner))
        .where(columns.expires_at <= at + timedelta(days=mark))
        .order_by(columns.expires_at, columns.id)
        .limit(limit)
    )
    return list(await connection.execute(query))


async def _is_first(connection: AsyncConnection, row: Row[Any], mark: int) -> bool:
    """Note the mark; of two that do so at once, one is first."""
    noted = await connection.execute(
        insert_if_new(connection, expiry_warnings).values(
            business_id=row.business_id, expires_at=row.expires_at, days_before=mark
        )
    )
    return bool(noted.rowcount == 1)


def _is_after_purchase(row: Row[Any], mark: int) -> bool:
    return row.purchased_at is None or row.purchased_at < row.expires_at - timedelta(days=mark)


async def _raise(
    connection: AsyncConnection,
    row: Row[Any],
    mark: int,
    channels: Collection[Channel],
    at: datetime,
) -> None:
    alert = {
        "id": new_id(),
        "business_id": row.business_id,
        "alert_type": "expiring_soon",
        "current_balance_microcredits": row.balance_microcredits,
        "threshold_microcredits": 0,
        "credit_seq": row.credit_seq,
        "sent_at": at,
        "acknowledged": False,
        "delivery_state": "pending",
    }
    await raise_alerts(connection, [alert], channels, at)
    warned = expiry_warnings.c
    await connection.execute(
        update(expiry_warnings)
        .where(warned.business_id == row.business_id, warned.expires_at == row.expires_at)
        .where(warned.days_before == mark)
        .values(alert_id=alert["id"])
    )
