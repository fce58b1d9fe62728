"""The audit log: what an admin changed, with before and after."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.ids import known_id, new_id
from storage.tables import audit_log as table


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """
    One change.

    Attributes:
        what: Verb and noun: `business.suspend`.
        before: The object before; None when it was made.
        after: The object after; None when it ceased.
    """

    id: str
    at: datetime
    who: str
    what: str
    object_id: str
    before: Any
    after: Any


async def write(
    connection: AsyncConnection,
    *,
    who: str,
    what: str,
    object_id: str,
    before: Any = None,
    after: Any = None,
    at: datetime,
) -> AuditEntry:
    """Store one change, in the transaction that makes it. Never with a secret in it."""
    entry = AuditEntry(new_id(), at, who, what, object_id, before, after)
    await connection.execute(
        insert(table).values(
            id=entry.id,
            at=at,
            who=who,
            what=what,
            object_id=object_id,
            before=before,
            after=after,
        )
    )
    return entry


async def page(
    connection: AsyncConnection,
    *,
    limit: int,
    after: str | None = None,
    object_id: str | None = None,
) -> list[AuditEntry]:
    """Changes, newest first; `after` is the last id seen."""
    query = select(table)
    if object_id is not None:
        query = query.where(table.c.object_id == known_id("object", object_id))
    if after is not None:
        query = query.where(table.c.id < known_id("audit entry", after))
    found = await connection.execute(query.order_by(table.c.id.desc()).limit(limit))
    return [
        AuditEntry(row.id, row.at, row.who, row.what, row.object_id, row.before, row.after)
        for row in found
    ]
