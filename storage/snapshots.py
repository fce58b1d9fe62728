"""
Snapshots: what SQL knows of a business when its account is opened in Redis.

SQL also knows which accounts were opened in which epoch: one that was, and is not there,
has been lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import Credits
from storage import balance_rows
from storage.balance_rows import LedgerRow
from storage.errors import LedgerUnavailable
from storage.movements import CreditEvent, as_ms, event_of, settings_of
from storage.tables import business_ai_credits
from storage.tables import credit_movements as movements

EXPIRED = 4  # The bit of `alerted` that says that the expiry was booked.


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """
    What `open.lua` needs to know of a business.

    Attributes:
        total: The balance once every event up to `credit_seq` is applied.
        epoch: In which the account was last opened; 0 when it never was.
        expires_at_ms: Milliseconds since 1970; 0 for never.
        alerted: Bits, 1 low_balance, 2 depleted, 4 expired: told since the last arming.
    """

    business: str
    status: str
    total: Credits
    owed: Credits
    credit_seq: int
    seq: int
    epoch: int
    expires_at_ms: int
    low_at: Credits
    alerted: int


@dataclass(frozen=True, slots=True)
class Opened:
    """
    A business whose account was opened in Redis, last in `epoch`.

    Attributes:
        seq: The last recorded change that came from Redis.
        credit_seq: The last credit event written.
    """

    business: str
    epoch: int
    seq: int
    credit_seq: int


async def snapshot(connection: AsyncConnection, business: str) -> AccountSnapshot:
    """
    One consistent look at `business`; call it in a read, which sees one moment.

    What Redis has not answered yet is still to come: a take-back, or an addition that is
    to book an expiry first. The account opens as it was before the first of those; that
    one and what follows it are then applied.

    Raises:
        NotFound: There is no such business.
        LedgerUnavailable: Redis had answered a take-back, and the answer was lost.
    """
    row = await balance_rows.read(connection, business)
    status, low_at = await settings_of(connection, row.business)
    to_come = await _from_first_unanswered(connection, row)
    total = row.balance - sum((each.amount for each in to_come if each.verb == "add"), Credits(0))
    if total.micro < 0:
        raise LedgerUnavailable(
            f"business {row.business} has spent what came after an event that is not "
            "recorded; recover its partition",
            reason="loss",
        )
    return AccountSnapshot(
        business=row.business,
        status=status,
        total=total,
        owed=row.owed,
        credit_seq=to_come[0].credit_seq - 1 if to_come else row.credit_seq,
        seq=row.seq,
        epoch=row.epoch,
        expires_at_ms=_expiry_before(to_come) or (as_ms(row.expires_at) if row.expires_at else 0),
        low_at=low_at,
        alerted=row.alerted if row.is_active else row.alerted | EXPIRED,
    )


def _expiry_before(to_come: Iterable[CreditEvent]) -> int:
    """When the balance ended that an event still to come finds expired; 0 for none."""
    return next((event.ended_at_ms for event in to_come if event.ended_at_ms), 0)


async def _from_first_unanswered(connection: AsyncConnection, row: LedgerRow) -> list[CreditEvent]:
    of_business = movements.c.business_id == row.business
    events = select(movements).where(of_business)
    ends = movements.c.event["ended_at_ms"].as_string().is_not(None)
    asked = await connection.execute(
        events.where(or_(movements.c.requested_microcredits < 0, ends))
    )
    unanswered = {event.id: event.credit_seq for event in asked}
    answers = await connection.execute(
        select(movements.c.reference).where(
            of_business, movements.c.kind.in_(("taken_back", "expired"))
        )
    )
    for reference in answers.scalars():
        unanswered.pop(reference, None)
    if not unanswered:
        return []
    first = movements.c.credit_seq >= min(unanswered.values())
    found = await connection.execute(events.where(first).order_by(movements.c.credit_seq))
    return [event_of(each) for each in found]


async def mark_opened(connection: AsyncConnection, business: str, epoch: int) -> None:
    """Note that the account of `business` is in Redis since `epoch`; its absence is a loss."""
    row = await balance_rows.lock_one(connection, business)
    await connection.execute(
        update(business_ai_credits)
        .where(business_ai_credits.c.id == row.id, business_ai_credits.c.epoch < epoch)
        .values(epoch=epoch)
    )


async def opened_businesses(connection: AsyncConnection, *, epoch: int) -> list[str]:
    """Businesses whose account was opened in `epoch`."""
    table = business_ai_credits
    found = await connection.execute(
        select(table.c.business_id).where(table.c.epoch == epoch).distinct()
    )
    return list(found.scalars())


async def opened_page(
    connection: AsyncConnection, *, after: str | None, limit: int
) -> list[Opened]:
    """Accounts that were ever opened, in the order of their businesses."""
    table = business_ai_credits
    # Over all rows of a business: what is counted goes on from one to the next.
    counted = (func.max(table.c.epoch), func.max(table.c.seq), func.max(table.c.credit_seq))
    newest = select(table.c.business_id, *counted).where(table.c.epoch > 0)
    if after is not None:
        newest = newest.where(table.c.business_id > after)
    newest = newest.group_by(table.c.business_id).order_by(table.c.business_id).limit(limit)
    return [Opened(*row) for row in await connection.execute(newest)]
