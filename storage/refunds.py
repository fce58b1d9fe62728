"""
Refunds and disputes: money that goes back, and the credits that are taken back for it.

What was spent already is owed. A purchase is `refunded` once all that was paid for it has
gone back; after a part of it, it stays `completed`, and the same part of its credits is
taken. A dispute is a refund that somebody else asked for: lost, it takes back; won, not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import Credits
from storage import movements
from storage.errors import BadAmount, Conflict, NotFound
from storage.ids import known_id, new_id
from storage.purchases import Purchase, purchase_of
from storage.tables import ai_credit_purchases
from storage.tables_payments import refunds as table

Kind = Literal["refund", "dispute"]
Status = Literal["asked", "pending", "processed", "failed"]


@dataclass(frozen=True, slots=True)
class Refund:
    """
    Money that went back, goes back, or may.

    Attributes:
        status: asked (of the provider, which has not answered), pending, processed, failed.
        amount_minor: In minor units of the purchase's currency.
        taken: What Redis was asked to take back for it.
        provider_reference: The provider's own name for it, once it said one.
    """

    id: str
    purchase: str
    kind: str
    status: str
    amount_minor: int
    taken: Credits
    provider_reference: str | None
    who: str
    reason: str | None
    created_at: datetime
    finished_at: datetime | None


async def begin(
    connection: AsyncConnection,
    purchase_id: str,
    *,
    kind: Kind,
    status: Status,
    amount_minor: int | None,
    who: str,
    reason: str | None,
    provider_reference: str | None = None,
    at: datetime,
) -> Refund:
    """
    Write a refund down before the provider is asked for it.

    Args:
        amount_minor: All that has not gone back yet when None.

    Raises:
        NotFound: There is no such purchase.
        Conflict: It is not completed, or all of it is going back already.
        BadAmount: More than is left of what was paid.
    """
    purchase = await lock(connection, purchase_id)
    if purchase.payment_status != "completed":
        raise Conflict(
            f"purchase {purchase.id} is {purchase.payment_status}; "
            "only a completed one can be refunded"
        )
    before = await of_purchase(connection, purchase.id)
    open_or_done = [one for one in before if one.status != "failed"]
    left = purchase.amount_paid_minor - sum(one.amount_minor for one in open_or_done)
    if open_or_done and left <= 0:
        raise Conflict(f"all that was paid for purchase {purchase.id} is going back already")
    amount = left if amount_minor is None else amount_minor
    if amount > left or (amount <= 0 < left):
        raise BadAmount(
            f"of purchase {purchase.id} {left} minor units of {purchase.currency} can go back, "
            f"and {amount} were asked"
        )
    refund = Refund(
        new_id(), purchase.id, kind, status, amount, Credits(0), provider_reference, who, reason,
        at, None,
    )  # fmt: skip
    await connection.execute(
        insert(table).values(
            id=refund.id,
            purchase_id=purchase.id,
            kind=kind,
            status=status,
            amount_minor=amount,
            taken_microcredits=0,
            provider_reference=provider_reference,
            who=who[:200],
            reason=reason,
            created_at=at,
        )
    )
    return refund


async def finish(connection: AsyncConnection, id: str, at: datetime) -> Refund | None:
    """
    The money has gone back: take the credits back. None when that was done before.

    Redis takes what is there; what was spent is owed and blocks new calls until it is paid.
    """
    refund = await get(connection, id)
    purchase = await lock(connection, refund.purchase)
    changed = await connection.execute(
        update(table)
        .where(table.c.id == refund.id, table.c.status.in_(("asked", "pending")))
        .values(status="processed", finished_at=at)
    )
    if not changed.rowcount:
        return None
    done = [one for one in await of_purchase(connection, purchase.id) if one.status == "processed"]
    gone = sum(one.amount_minor for one in done)
    bought = purchase.credits_purchased + purchase.bonus_credits
    whole = gone >= purchase.amount_paid_minor
    due = bought if whole else bought.share(gone, purchase.amount_paid_minor)
    take = due - sum((one.taken for one in done), Credits(0))
    if take:
        await movements.write_event(
            connection,
            business=purchase.business,
            kind="refund",
            verb="take",
            amount=take,
            expires_at=None,
            reference=purchase.id,
            reason=refund.reason,
            at=at,
        )
        await connection.execute(
            update(table).where(table.c.id == refund.id).values(taken_microcredits=take.micro)
        )
    if whole:
        await connection.execute(
            update(ai_credit_purchases)
            .where(ai_credit_purchases.c.id == purchase.id)
            .where(ai_credit_purchases.c.payment_status == "completed")
            .values(payment_status="refunded")
        )
    return await get(connection, refund.id)


async def told(
    connection: AsyncConnection, id: str, status: Status, provider_reference: str | None
) -> None:
    """Note what the provider said of a refund that is still open."""
    values: dict[str, Any] = {"status": status}
    if provider_reference:
        values["provider_reference"] = provider_reference
    await connection.execute(
        update(table)
        .where(table.c.id == id, table.c.status.in_(("asked", "pending")))
        .values(**values)
    )


async def fail(connection: AsyncConnection, id: str, at: datetime) -> bool:
    """The money stays: nothing is taken back. False when it had ended before."""
    changed = await connection.execute(
        update(table)
        .where(table.c.id == id, table.c.status.in_(("asked", "pending")))
        .values(status="failed", finished_at=at)
    )
    return bool(changed.rowcount)


async def of_purchase(connection: AsyncConnection, purchase: str) -> list[Refund]:
    """The refunds of a purchase, the oldest first."""
    found = await connection.execute(
        select(table)
        .where(table.c.purchase_id == known_id("purchase", purchase))
        .order_by(table.c.id)
    )
    return [_refund(row) for row in found]


async def get(connection: AsyncConnection, id: str) -> Refund:
    """
    One refund.

    Raises:
        NotFound: There is none with this id.
    """
    found = await connection.execute(select(table).where(table.c.id == known_id("refund", id)))
    row = found.one_or_none()
    if row is None:
        raise NotFound("refund", id)
    return _refund(row)


async def lock(connection: AsyncConnection, purchase: str) -> Purchase:
    """
    A purchase, locked until the transaction ends.

    Raises:
        NotFound: There is none with this id.
    """
    found = await connection.execute(
        select(ai_credit_purchases)
        .where(ai_credit_purchases.c.id == known_id("purchase", purchase))
        .with_for_update()
    )
    row = found.one_or_none()
    if row is None:
        raise NotFound("purchase", purchase)
    return purchase_of(row)


def _refund(row: Row[Any]) -> Refund:
    return Refund(
        id=row.id,
        purchase=row.purchase_id,
        kind=row.kind,
        status=row.status,
        amount_minor=row.amount_minor,
        taken=Credits(row.taken_microcredits),
        provider_reference=row.provider_reference,
        who=row.who,
        reason=row.reason,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
