"""
BusinessAICredits: the balance of a business as far as SQL knows it.

One row of a business is active, until its expiry has been booked; the next purchase opens
another. The current row is the active one, or the last that was. Who changes it locks it
first, and locks several in the order of their businesses, so that nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, exists, insert, or_, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import MOST_MICROCREDITS, Credits
from storage.errors import BadAmount, NotFound
from storage.ids import known_id, new_id
from storage.tables import business_ai_credits as table

_write = update(table).where(table.c.id == bindparam("row_id"))


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """
    The current balance row of a business.

    Attributes:
        is_active: Whether its expiry is still to be booked.
        balance: What is left, as far as recorded; Redis may know of later calls.
        epoch: In which the account was last opened in Redis; 0 when it never was.
        seq: The last recorded change that came from Redis.
        credit_seq: The last credit event written.
        alerted: Bits, 1 low_balance and 2 depleted: warned since the last addition.
    """

    id: str
    business: str
    balance: Credits
    expires_at: datetime | None
    purchased_at: datetime | None
    epoch: int
    seq: int
    credit_seq: int
    owed: Credits
    alerted: int
    is_active: bool

    def has_expired(self, at: datetime) -> bool:
        """Whether its time has come, or its expiry was booked by a clock ahead of ours."""
        return not self.is_active or (self.expires_at is not None and self.expires_at <= at)


async def add(connection: AsyncConnection, business: str, at: datetime) -> None:
    """Give a new business its balance of nothing."""
    await connection.execute(
        insert(table).values(
            id=new_id(),
            business_id=business,
            balance_microcredits=0,
            is_active=True,
            updated_at=at,
            epoch=0,
            seq=0,
            credit_seq=0,
            owed_microcredits=0,
            alerted=0,
        )
    )


async def read(connection: AsyncConnection, business: str) -> LedgerRow:
    """
    The current row of `business`, not locked.

    Raises:
        NotFound: There is no such business.
    """
    business = known_id("business", business)
    of_business = select(table).where(table.c.business_id == business)
    # The active ones have an index; only who has expired is looked for without it.
    row = (await connection.execute(of_business.where(table.c.is_active))).one_or_none()
    if row is None:
        last = of_business.order_by(table.c.id.desc()).limit(1)
        row = (await connection.execute(last)).one_or_none()
    if row is None:
        raise NotFound("business", business)
    return _ledger_row(row)


async def lock(connection: AsyncConnection, businesses: Collection[str]) -> dict[str, LedgerRow]:
    """
    The current rows of `businesses`, locked until the transaction ends.

    A business that is unknown is absent from the answer.
    """
    rows = await _lock(connection, businesses, table.c.is_active)
    missing = set(businesses) - set(rows)
    if missing:
        # Expired ones. A row that stopped being active while we waited for its lock is not
        # in PostgreSQL's answer either, and a successor is not yet. Whoever opens that has
        # locked the last row before it; so once we have, another look at the active ones
        # sees all there will be.
        later = table.alias()
        newer = and_(later.c.business_id == table.c.business_id, later.c.id > table.c.id)
        expired = await _lock(connection, missing, ~exists().where(newer))
        rows |= expired | await _lock(connection, missing, table.c.is_active)
    return rows


async def _lock(
    connection: AsyncConnection, businesses: Collection[str], which: ColumnElement[bool]
) -> dict[str, LedgerRow]:
    found = await connection.execute(
        select(table)
        .where(table.c.business_id.in_(sorted(businesses)), which)
        .order_by(table.c.business_id)
        # NO KEY: rows that only refer to this one may be written meanwhile.
        .with_for_update(key_share=True)
    )
    return {row.business: row for row in map(_ledger_row, found)}


async def lock_one(connection: AsyncConnection, business: str) -> LedgerRow:
    """
    The current row of `business`, locked until the transaction ends.

    Raises:
        NotFound: There is no such business.
    """
    business = known_id("business", business)
    rows = await lock(connection, [business])
    if business not in rows:
        raise NotFound("business", business)
    return rows[business]


async def write(connection: AsyncConnection, rows: Collection[LedgerRow], at: datetime) -> None:
    """Store rows that this transaction has locked and changed, all in one go."""
    changed = [
        {
            "row_id": row.id,
            "balance_microcredits": row.balance.micro,
            "expires_at": row.expires_at,
            "purchased_at": row.purchased_at,
            "updated_at": at,
            "epoch": row.epoch,
            "seq": row.seq,
            "credit_seq": row.credit_seq,
            "owed_microcredits": row.owed.micro,
            "alerted": row.alerted,
            "is_active": row.is_active,
        }
        for row in rows
    ]
    if changed:
        await connection.execute(_write, changed)


async def succeed(connection: AsyncConnection, row: LedgerRow, at: datetime) -> LedgerRow:
    """
    Close an expired row and open the next, which takes over what is left and is owed.

    The counters go on; they never restart.
    """
    await connection.execute(
        update(table)
        .where(table.c.id == row.id)
        .values(is_active=False, balance_microcredits=0, owed_microcredits=0, updated_at=at)
    )
    await add(connection, row.business, at)
    opened = await read(connection, row.business)
    return replace(row, id=opened.id, expires_at=None, purchased_at=None, is_active=True)


async def ended(
    connection: AsyncConnection, *, before: datetime, after: str | None, limit: int
) -> list[LedgerRow]:
    """
    Rows whose time came at `before`, and of which something is left to be booked.

    In the order of their ids; `after` is the last one seen.
    """
    left = or_(table.c.is_active, table.c.balance_microcredits > 0)
    query = select(table).where(table.c.expires_at <= before, left)
    if after is not None:
        query = query.where(table.c.id > after)
    found = await connection.execute(query.order_by(table.c.id).limit(limit))
    return [_ledger_row(row) for row in found]


async def grown(
    connection: AsyncConnection,
    row: LedgerRow,
    *,
    by: Credits,
    low_at: Credits,
    expires_at: datetime | None,
    at: datetime,
) -> LedgerRow:
    """
    A locked row with `by` more; `write` it then.

    Where the row has expired its successor is answered, so that credits of before stay
    apart from those that begin anew.

    Raises:
        BadAmount: The balance would be more than can be counted exactly.
    """
    after = row.balance + by
    if after.micro > MOST_MICROCREDITS:
        raise BadAmount(
            f"adding {by} to {row.balance} credits makes more than "
            f"{Credits(MOST_MICROCREDITS)}, the most a balance can be; add less"
        )
    if expires_at and row.has_expired(at):
        row = await succeed(connection, row, at)
    return armed(replace(row, balance=after, purchased_at=row.purchased_at or at), low_at)


def armed(row: LedgerRow, low_at: Credits) -> LedgerRow:
    """As credit.lua does: a total that reaches a threshold arms its alert again."""
    total = max(0, row.balance.micro - row.owed.micro)
    reached = (1 if total >= low_at.micro else 0) | (2 if total > 0 else 0)
    return replace(row, alerted=row.alerted & ~reached)


def _ledger_row(row: Row[Any]) -> LedgerRow:
    return LedgerRow(
        id=row.id,
        business=row.business_id,
        balance=Credits(row.balance_microcredits),
        expires_at=row.expires_at,
        purchased_at=row.purchased_at,
        epoch=row.epoch,
        seq=row.seq,
        credit_seq=row.credit_seq,
        owed=Credits(row.owed_microcredits),
        alerted=row.alerted,
        is_active=row.is_active,
    )
