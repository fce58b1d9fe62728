"""Webhooks of payment providers: kept raw before anything is made of them, each body once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import insert_if_new
from storage.ids import new_id
from storage.tables_payments import webhook_events as table


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One webhook whose signature was right."""

    id: str
    provider: str
    kind: str
    reference: str | None
    body: bytes
    received_at: datetime


def digest_of(body: bytes) -> bytes:
    """SHA-256 of a body, by which a delivery that is repeated is known."""
    return sha256(body).digest()


async def known(connection: AsyncConnection, provider: str, digest: bytes) -> bool:
    """Whether this very body is stored already."""
    same = (table.c.provider == provider, table.c.digest == digest)
    return (await connection.execute(select(table.c.id).where(*same))).one_or_none() is not None


async def keep(
    connection: AsyncConnection,
    *,
    provider: str,
    kind: str,
    reference: str | None,
    body: bytes,
    at: datetime,
) -> str | None:
    """Store a webhook that is to be processed; its id, or None when it is there already."""
    id = new_id()
    stored = await connection.execute(
        insert_if_new(connection, table).values(
            id=id,
            provider=provider,
            digest=digest_of(body),
            kind=kind[:64],
            reference=reference[:200] if reference else None,
            body=body,
            received_at=at,
        )
    )
    return id if stored.rowcount else None


async def take(connection: AsyncConnection, id: str) -> StoredEvent | None:
    """A webhook that is to be processed, locked; None when somebody has done it."""
    found = await connection.execute(
        select(table).where(table.c.id == id, table.c.processed_at.is_(None)).with_for_update()
    )
    row = found.one_or_none()
    return _stored(row) if row else None


async def processed(connection: AsyncConnection, id: str, outcome: str, at: datetime) -> None:
    """Note what came of it."""
    await connection.execute(
        update(table).where(table.c.id == id).values(processed_at=at, outcome=outcome[:500])
    )


async def waiting(
    connection: AsyncConnection, *, after: str | None = None, limit: int = 500
) -> list[StoredEvent]:
    """Webhooks that are not processed, the oldest first; `after` is the last id seen."""
    query = select(table).where(table.c.processed_at.is_(None))
    if after is not None:
        query = query.where(table.c.id > after)
    found = await connection.execute(query.order_by(table.c.id).limit(limit))
    return [_stored(row) for row in found]


def _stored(row: Row[Any]) -> StoredEvent:
    return StoredEvent(row.id, row.provider, row.kind, row.reference, row.body, row.received_at)
