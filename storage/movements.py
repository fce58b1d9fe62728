"""
Credit movements: every change of a balance that is not a call.

A credit event is a movement on its way from SQL to Redis. The events of a business are
numbered by `credit_seq` without a gap, and Redis applies them in that order, each once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import MOST_MICROCREDITS, Credits
from storage import balance_rows
from storage.balance_rows import LedgerRow
from storage.errors import BadAmount
from storage.ids import known_id, new_id
from storage.tables import ai_credit_purchases, businesses
from storage.tables import credit_movements as table

Verb = Literal["add", "take", "configure"]
Kind = Literal["purchase", "bonus", "adjustment", "refund", "configure"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CreditEvent:
    """
    Credit event number `credit_seq` of a business, as `credit.lua` applies it.

    Attributes:
        amount: Never negative; the verb says the direction.
        expires_at_ms: The expiry once it is applied, in milliseconds since 1970; 0 for never.
        low_at: Below this the owner is warned.
        ended_at_ms: When the balance had expired that this addition finds; what is left of
            that is booked as expired before it is applied. 0 when it finds a valid one.
    """

    id: str
    business: str
    credit_seq: int
    verb: Verb
    amount: Credits
    expires_at_ms: int
    low_at: Credits
    status: str
    ended_at_ms: int = 0


async def write_event(
    connection: AsyncConnection,
    *,
    business: str,
    kind: Kind,
    verb: Verb,
    amount: Credits,
    expires_at: datetime | None,
    reference: str | None,
    reason: str | None,
    at: datetime,
) -> CreditEvent:
    """
    Write the next credit event; an addition changes the balance at once.

    What is taken changes nothing here: Redis takes what is there, and the outbox brings
    back how much that was.

    Args:
        amount: More than nothing to add or to take, nothing to configure.
        expires_at: The expiry from now on; None leaves it as it is.

    Raises:
        BadAmount: The amount has the wrong sign, or the balance would grow too large.
        NotFound: There is no such business.
    """
    _check(verb, amount)
    found = row = await balance_rows.lock_one(connection, business)
    # Read after the lock, so that the event says what holds once those before it hold.
    status, low_at = await settings_of(connection, row.business)
    if verb == "add":
        row = await balance_rows.grown(
            connection, row, by=amount, low_at=low_at, expires_at=expires_at, at=at
        )
    elif verb == "configure":
        row = balance_rows.armed(row, low_at)
    row = replace(row, credit_seq=row.credit_seq + 1, expires_at=expires_at or row.expires_at)
    await balance_rows.write(connection, [row], at)
    event = CreditEvent(
        id=new_id(),
        business=row.business,
        credit_seq=row.credit_seq,
        verb=verb,
        amount=amount,
        expires_at_ms=as_ms(row.expires_at) if row.expires_at else 0,
        low_at=low_at,
        status=status,
        ended_at_ms=_end_of(found) if row.id != found.id else 0,
    )
    await connection.execute(
        insert(table).values(
            id=event.id,
            business_id=event.business,
            balance_id=row.id,
            kind=kind,
            amount_microcredits=amount.micro if verb == "add" else 0,
            requested_microcredits=-amount.micro if verb == "take" else amount.micro,
            credit_seq=event.credit_seq,
            event=_event_column(event),
            reference=reference,
            reason=reason,
            at=at,
        )
    )
    return event


def _end_of(row: LedgerRow) -> int:
    # Of a row that is not active any more, the expiry was booked already. What returns to
    # it from calls that still ran goes on in the new row.
    return as_ms(row.expires_at) if row.is_active and row.expires_at else 0


def _check(verb: Verb, amount: Credits) -> None:
    if verb == "configure":
        assert not amount, "a configuration moves no credits"
        return
    if not 0 < amount.micro <= MOST_MICROCREDITS:
        raise BadAmount(
            f"{amount} is not an amount of credits that can be moved; "
            f"write more than 0 and at most {Credits(MOST_MICROCREDITS)}"
        )


async def settings_of(connection: AsyncConnection, business: str) -> tuple[str, Credits]:
    """Status and threshold of a business, which each of its events says anew."""
    columns = (businesses.c.status, businesses.c.low_balance_threshold_microcredits)
    found = await connection.execute(select(*columns).where(businesses.c.id == business))
    status, low_at = found.one()
    return status, Credits(low_at)


async def pending(
    connection: AsyncConnection, business: str, after_seq: int | None = None, limit: int = 500
) -> list[CreditEvent]:
    """
    The first `limit` credit events above `after_seq`, in their order.

    Without `after_seq` those that are not noted as applied.
    """
    wanted = table.c.applied_at.is_(None) if after_seq is None else table.c.credit_seq > after_seq
    found = await connection.execute(
        select(table)
        .where(table.c.business_id == known_id("business", business))
        .where(table.c.credit_seq.is_not(None), wanted)
        .order_by(table.c.credit_seq)
        .limit(limit)
    )
    return [event_of(row) for row in found]


async def unapplied_businesses(
    connection: AsyncConnection, limit: int, *, after: str | None = None
) -> list[str]:
    """At most `limit` businesses with events that Redis may lack, by id, those after `after`."""
    query = (
        select(table.c.business_id)
        .where(table.c.applied_at.is_(None), table.c.credit_seq.is_not(None))
        .group_by(table.c.business_id)
        .order_by(table.c.business_id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(table.c.business_id > after)
    return list((await connection.execute(query)).scalars())


async def mark_applied(
    connection: AsyncConnection, business: str, up_to_seq: int, at: datetime
) -> None:
    """Note for display that Redis has every event up to `up_to_seq`."""
    for noted in (table, ai_credit_purchases):
        await connection.execute(
            update(noted)
            .where(noted.c.business_id == business, noted.c.credit_seq <= up_to_seq)
            .where(noted.c.applied_at.is_(None))
            .values(applied_at=at)
        )


def as_ms(at: datetime) -> int:
    """Milliseconds since 1970, without a float on the way."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _event_column(event: CreditEvent) -> dict[str, Any]:
    ended = {"ended_at_ms": event.ended_at_ms} if event.ended_at_ms else {}
    return {
        "verb": event.verb,
        "expires_at_ms": event.expires_at_ms,
        "low_at": str(event.low_at.micro),
        "status": event.status,
        **ended,
    }


def event_of(row: Row[Any]) -> CreditEvent:
    """A movement that has a `credit_seq`, as the event that it is."""
    return CreditEvent(
        id=row.id,
        business=row.business_id,
        credit_seq=row.credit_seq,
        verb=row.event["verb"],
        amount=Credits(abs(row.requested_microcredits)),
        expires_at_ms=row.event["expires_at_ms"],
        low_at=Credits(int(row.event["low_at"])),
        status=row.event["status"],
        ended_at_ms=row.event.get("ended_at_ms", 0),
    )
