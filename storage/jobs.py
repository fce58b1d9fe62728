"""
Jobs: what OpenAI works on after its call has ended, and what is needed to settle it then.

A row is written before the call's reply leaves, and removed once SQL has the transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import Credits
from storage.tables_jobs import pending_jobs as table


@dataclass(frozen=True, slots=True)
class Job:
    """
    One piece of work under way.

    Attributes:
        id: Of its hold, and of the transaction that will settle it.
        object_id: What OpenAI calls it.
        facts: What settles it; never a text of the caller's.
        look_at: When OpenAI is asked next.
        looks: How often it was.
    """

    id: str
    kind: str
    business: str
    object_id: str
    granted: Credits
    facts: dict[str, Any]
    started_at: datetime
    look_at: datetime
    looks: int = 0


async def add(connection: AsyncConnection, job: Job) -> None:
    """Write down a job."""
    await connection.execute(
        insert(table).values(
            id=job.id,
            kind=job.kind,
            business_id=job.business,
            object_id=job.object_id,
            granted_microcredits=job.granted.micro,
            facts=job.facts,
            started_at=job.started_at,
            look_at=job.look_at,
            looks=job.looks,
        )
    )


async def due(connection: AsyncConnection, now: datetime, *, limit: int) -> list[Job]:
    """Those that are to be looked at by now, the longest waiting first."""
    found = await connection.execute(
        select(table).where(table.c.look_at <= now).order_by(table.c.look_at).limit(limit)
    )
    return [_job(row) for row in found]


async def named(connection: AsyncConnection, business: str, object_id: str) -> Job | None:
    """The job of a business that OpenAI calls so."""
    found = await connection.execute(
        select(table).where(table.c.business_id == business, table.c.object_id == object_id)
    )
    row = found.first()
    return None if row is None else _job(row)


async def look_again(connection: AsyncConnection, id: str, at: datetime) -> None:
    """Note that it was looked at, and when it will be again."""
    await connection.execute(
        update(table).where(table.c.id == id).values(look_at=at, looks=table.c.looks + 1)
    )


async def remove(connection: AsyncConnection, id: str) -> None:
    """Forget a job that is settled."""
    await connection.execute(delete(table).where(table.c.id == id))


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        business=row.business_id,
        object_id=row.object_id,
        granted=Credits(row.granted_microcredits),
        facts=row.facts,
        started_at=row.started_at,
        look_at=row.look_at,
        looks=row.looks,
    )
