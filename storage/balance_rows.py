"""
BusinessAICredits: the balance of a business as far as SQL knows it.

One row of a business is active. Who changes it locks it first, and locks several in the
order of their businesses, so that nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, select, update
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
    The active balance row of a business.

    Attributes:
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
    The active row of `business`, not locked.

    Raises:
        NotFound: There is no such business.
    """
    business = known_id("business", business)
    found = await connection.execute(
        select(table).where(table.c.business_id == business, table.c.is_active)
    )
    row = found.one_or_none()
    if row is None:
        raise NotFound("business", business)
    return _ledger_row(row)


async def lock(connection: AsyncConnection, businesses: Collection[str]) -> dict[str, LedgerRow]:
    """
    The active rows of `businesses`, locked until the transaction ends.

    A business that is unknown is absent from the answer.
    """
    rows: dict[str, LedgerRow] = {}
    # A row that stopped being active while we waited for its lock is not in PostgreSQL's
    # answer, and its successor is not yet; the second look sees it.
    for _ in range(2):
        missing = set(businesses) - set(rows)
        if not missing:
            break
        found = await connection.execute(
            select(table)
            .where(table.c.business_id.in_(sorted(missing)), table.c.is_active)
            .order_by(table.c.business_id)
            # NO KEY: rows that only refer to this one may be written meanwhile.
            .with_for_update(key_share=True)
        )
        rows |= {row.business: row for row in map(_ledger_row, found)}
    return rows


async def lock_one(connection: AsyncConnection, business: str) -> LedgerRow:
    """
    The active row of `business`, locked until the transaction ends.

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
    return replace(row, id=opened.id, expires_at=None, purchased_at=None)


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
    if expires_at and row.expires_at and row.expires_at <= at:
        row = await succeed(connection, row, at)
    # As credit.lua does: what lifts the total to a threshold arms its alert again.
    total = max(0, after.micro - row.owed.micro)
    armed = (1 if total >= low_at.micro else 0) | (2 if total > 0 else 0)
    return replace(
        row, balance=after, purchased_at=row.purchased_at or at, alerted=row.alerted & ~armed
    )


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
    )
