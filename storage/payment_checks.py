"""Pending purchases: where they are paid, and when the provider is to be asked about them."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import purchases
from storage.ids import known_id
from storage.purchases import Purchase
from storage.tables import ai_credit_purchases as bought
from storage.tables_payments import payment_checks as table

FIRST_CHECK_AFTER = timedelta(minutes=1)  # A webhook comes within seconds, when it comes.


async def begin(connection: AsyncConnection, purchase: str, at: datetime) -> None:
    """Watch a pending purchase from now on."""
    await connection.execute(
        insert(table).values(purchase_id=purchase, checks=0, next_check_at=at + FIRST_CHECK_AFTER)
    )


async def started(connection: AsyncConnection, purchase: str, authorization_url: str) -> None:
    """Keep where the payer pays, so that it can be asked for again."""
    await connection.execute(
        update(table)
        .where(table.c.purchase_id == purchase)
        .values(authorization_url=authorization_url)
    )


async def authorization_url(connection: AsyncConnection, purchase: str) -> str | None:
    """Where the payer pays; None when the provider did not say."""
    found = await connection.execute(
        select(table.c.authorization_url).where(
            table.c.purchase_id == known_id("purchase", purchase)
        )
    )
    return found.scalar_one_or_none()


async def due(
    connection: AsyncConnection, *, at: datetime | None, provider: str, after: str, limit: int
) -> list[tuple[Purchase, int]]:
    """
    Pending purchases to ask the provider about, each with how often it was asked.

    In the order of their ids, those after `after`; all pending ones when `at` is None.
    """
    query = (
        select(bought, table.c.checks)
        .join(table, table.c.purchase_id == bought.c.id)
        .where(bought.c.payment_status == "pending", bought.c.provider == provider)
        .order_by(bought.c.id)
        .limit(limit)
    )
    if after:
        query = query.where(bought.c.id > after)
    if at is not None:
        query = query.where(table.c.next_check_at <= at)
    found = await connection.execute(query)
    return [(purchases.purchase_of(row), row.checks) for row in found]


async def asked_again_at(
    connection: AsyncConnection, purchase: str, said: str, at: datetime
) -> None:
    """Note what the provider said of a purchase that stays pending, and when to ask again."""
    await connection.execute(
        update(table)
        .where(table.c.purchase_id == purchase)
        .values(checks=table.c.checks + 1, next_check_at=at, last_said=said[:200])
    )


async def not_applied(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> list[Purchase]:
    """Completed purchases that Redis did not have at `before`: paid, and not to be used yet."""
    found = await connection.execute(
        select(bought)
        .where(bought.c.payment_status == "completed", bought.c.applied_at.is_(None))
        .where(bought.c.completed_at < before)
        .order_by(bought.c.id)
        .limit(limit)
    )
    return [purchases.purchase_of(row) for row in found]


async def end(connection: AsyncConnection, purchase: str, said: str) -> None:
    """Ask the provider no more about a purchase: it is paid, or given up."""
    await connection.execute(
        update(table)
        .where(table.c.purchase_id == purchase)
        .values(next_check_at=None, last_said=said[:200])
    )
