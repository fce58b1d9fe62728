"""Entries of the outbox that could not be recorded, kept as they were read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import insert_if_new
from storage.ids import new_id
from storage.outbox import Entry
from storage.tables import dead_letters as table


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One such entry; its amounts count in the proof of the ledger all the same."""

    id: str
    partition: int
    entry_id: str
    fields: dict[str, str]
    why: str
    at: datetime


async def bury(connection: AsyncConnection, entry: Entry, *, why: str, at: datetime) -> None:
    """Keep an entry; burying it twice changes nothing."""
    await connection.execute(
        insert_if_new(connection, table).values(
            id=new_id(),
            partition=entry.partition,
            entry_id=entry.entry_id,
            # Neither database stores a NUL in its JSON text.
            fields={name: value.replace("\0", "\\0") for name, value in entry.fields.items()},
            why=why.replace("\0", "\\0"),
            at=at,
        )
    )


async def all(connection: AsyncConnection) -> list[DeadLetter]:
    """Every one of them, the oldest first."""
    found = await connection.execute(select(table).order_by(table.c.id))
    return [DeadLetter(**row) for row in found.mappings()]
