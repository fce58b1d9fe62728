"""Payments that a person must decide about: what came does not match what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import insert_if_new
from storage.errors import Conflict, NotFound
from storage.ids import known_id, new_id
from storage.tables_payments import payment_problems as table

Why = Literal["unknown", "business", "currency", "amount", "late", "too_much", "refund"]
Decision = Literal["accepted", "dismissed"]


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One payment that waits, or waited.

    Attributes:
        why: unknown (no purchase has the reference), business, currency, amount (not what
            was to be paid), late (the purchase had been given up), too_much (the balance
            would grow too large), refund (nobody knows whether the provider made it).
        purchase: What it would complete; None when nothing has this reference.
    """

    id: str
    provider: str
    reference: str
    why: str
    purchase: str | None
    refund: str | None
    expected: dict[str, Any]
    found: dict[str, Any]
    at: datetime
    decision: str | None
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None


async def note(
    connection: AsyncConnection,
    *,
    provider: str,
    reference: str,
    why: Why,
    purchase: str | None,
    expected: Mapping[str, Any],
    found: Mapping[str, Any],
    refund: str | None = None,
    at: datetime,
) -> None:
    """Put a payment before a person; the same one again is there already."""
    await connection.execute(
        insert_if_new(connection, table).values(
            id=new_id(),
            provider=provider,
            reference=reference,
            why=why,
            purchase_id=purchase,
            refund_id=refund,
            expected=dict(expected),
            found=dict(found),
            at=at,
        )
    )


async def page(
    connection: AsyncConnection, *, limit: int, after: str | None = None, decided: bool = False
) -> list[Problem]:
    """Those that wait, or with `decided` all, newest first; `after` is the last id seen."""
    query = select(table)
    if not decided:
        query = query.where(table.c.decision.is_(None))
    if after is not None:
        query = query.where(table.c.id < known_id("payment problem", after))
    found = await connection.execute(query.order_by(table.c.id.desc()).limit(limit))
    return [_problem(row) for row in found]


async def decide(
    connection: AsyncConnection,
    id: str,
    decision: Decision,
    *,
    who: str,
    reason: str,
    at: datetime,
) -> Problem:
    """
    Write down what a person decided; what follows of it belongs into the same transaction.

    Raises:
        NotFound: There is none with this id.
        Conflict: It was decided before.
    """
    id = known_id("payment problem", id)
    changed = await connection.execute(
        update(table)
        .where(table.c.id == id, table.c.decision.is_(None))
        .values(decision=decision, decided_by=who, decided_at=at, reason=reason)
        .returning(table)
    )
    row = changed.one_or_none()
    if row is not None:
        return _problem(row)
    before = (await connection.execute(select(table).where(table.c.id == id))).one_or_none()
    if before is None:
        raise NotFound("payment problem", id)
    raise Conflict(f"payment problem {id} was {before.decision} by {before.decided_by} already")


async def settled(connection: AsyncConnection, refund: str, at: datetime) -> None:
    """A refund that was in doubt is not any more: nobody need decide."""
    await connection.execute(
        update(table)
        .where(table.c.refund_id == refund, table.c.decision.is_(None))
        .values(
            decision="accepted", decided_by="provider", decided_at=at, reason="the provider said"
        )
    )


def _problem(row: Row[Any]) -> Problem:
    return Problem(
        id=row.id,
        provider=row.provider,
        reference=row.reference,
        why=row.why,
        purchase=row.purchase_id,
        refund=row.refund_id,
        expected=row.expected,
        found=row.found,
        at=row.at,
        decision=row.decision,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        reason=row.reason,
    )
