"""
Admin calls that were answered, so that a repeated one gets the answer and does nothing.

Claim the key first in the transaction that does the work: whoever comes second waits
there, and then reads what the first was answered.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import insert_if_new
from storage.errors import Conflict
from storage.tables import idempotency_keys as table

_WORKING = 0  # The status of a key whose work is not done; only its own transaction sees it.


@dataclass(frozen=True, slots=True)
class Answered:
    """What a call was answered the first time."""

    status: int
    answer: Any


async def claim(
    connection: AsyncConnection, *, scope: str, key: str, body_digest: bytes, at: datetime
) -> Answered | None:
    """
    Take a key for the work of this transaction, or read what was answered before.

    Args:
        scope: Which call the key belongs to, such as `top-up <business>`.
        body_digest: SHA-256 of the body.

    Returns:
        None when the work is to be done; `keep` its answer then.

    Raises:
        Conflict: The key was used with another body.
    """
    claimed = await connection.execute(
        insert_if_new(connection, table).values(
            scope=scope,
            key=key,
            body_digest=body_digest,
            status=_WORKING,
            answer={},
            created_at=at,
        )
    )
    if claimed.rowcount == 1:
        return None
    found = await connection.execute(
        select(table).where(table.c.scope == scope, table.c.key == key)
    )
    row = found.one()
    if not hmac.compare_digest(row.body_digest, body_digest):
        raise Conflict(
            "this Idempotency-Key was used with another body; use a new key for another request"
        )
    return Answered(row.status, row.answer)


async def keep(
    connection: AsyncConnection, *, scope: str, key: str, status: int, answer: Any
) -> None:
    """Store the answer to the call that claimed the key."""
    await connection.execute(
        update(table)
        .where(table.c.scope == scope, table.c.key == key)
        .values(status=status, answer=answer)
    )
