"""Which rows to look at, where a law is broken and its figures alone do not name them."""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.proof import Violation
from storage.tables import ai_transactions, credit_movements

MOST = 5  # Rows or numbers that are named.
READ = 10_000  # Seqs that are read in one go.


async def rows_of(connection: AsyncConnection, violation: Violation) -> list[str]:
    """What would explain a difference: rows of its amount, or the seqs that are missing."""
    if violation.what == "gap":
        missing = await _missing(connection, violation.business)
        return [f"no row has seq {seq}" for seq in missing]
    if violation.what in ("total", "records") and violation.difference:
        return await _of_amount(connection, violation.business, abs(violation.difference))
    return []


async def _of_amount(connection: AsyncConnection, business: str, amount: int) -> list[str]:
    call, movement = ai_transactions.c, credit_movements.c
    calls = select(call.id).where(
        call.business_id == business, call.credits_used_microcredits == amount
    )
    moved = or_(
        movement.amount_microcredits.in_((amount, -amount)),
        movement.requested_microcredits.in_((amount, -amount)),
    )
    events = select(movement.id, movement.kind).where(movement.business_id == business, moved)
    found = [
        f"{row.kind} {row.id} is of that amount"
        for row in await connection.execute(events.limit(MOST))
    ]
    found += [
        f"transaction {row.id} is of that amount"
        for row in await connection.execute(calls.limit(MOST))
    ]
    return found[:MOST]


async def _missing(connection: AsyncConnection, business: str) -> list[int]:
    """The first seqs below the highest that no row in SQL has; the outbox may have them."""
    missing: list[int] = []
    last = 0
    while len(missing) < MOST:
        seqs = await _seqs(connection, business, after=last)
        for seq in seqs:
            missing += range(last + 1, min(seq, last + 1 + MOST))
            last = seq
        if len(seqs) < READ:
            break
    return missing[:MOST]


async def _seqs(connection: AsyncConnection, business: str, *, after: int) -> list[int]:
    parts = [
        select(table.c.seq).where(table.c.business_id == business, table.c.seq > after)
        for table in (ai_transactions, credit_movements)
    ]
    both = parts[0].union_all(parts[1]).order_by("seq").limit(READ)
    return list((await connection.execute(both)).scalars())
