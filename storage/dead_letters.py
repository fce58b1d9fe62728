"""Entries of the outbox that could not be recorded, kept as they were read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import Credits
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


@dataclass(frozen=True, slots=True)
class Change:
    """
    What a dead letter says that Redis has changed.

    Attributes:
        id: Of the call or movement; empty when it is none that SQL could have.
        epoch, seq: Of the change; None where that cannot be read.
        row: What the gateway noted of the call, as it was read; empty where it was none.
        charged: None where that is no amount, as of what was no call.
    """

    id: str
    epoch: int | None
    seq: int | None
    row: str
    charged: Credits | None

    def is_before(self, epoch: int, seq: int) -> bool:
        """Whether it was made up to a change of an epoch; in doubt, yes."""
        if self.epoch is None or self.seq is None:
            return True
        return self.epoch < epoch or self.seq <= seq

    def names(self, key: str) -> bool:
        """Whether it was a call with this key, even where the rest of its row is garbled."""
        # A quote of the caller's own is escaped in it, so nobody can write this into one.
        return re.search(rf'"key_id": ?"{key}"', self.row) is not None


async def changes_of(connection: AsyncConnection, business: str) -> list[Change]:
    """Those of one business."""
    names_it = table.c.fields["business"].as_string() == business
    found = await connection.execute(select(table.c.fields).where(names_it))
    return [_change(fields) for fields in found.scalars()]


def _change(fields: dict[str, str]) -> Change:
    charged = _whole(fields.get("charged", ""))
    return Change(
        id=_id(fields.get("id", "")),
        epoch=_whole(fields.get("epoch", "")),
        seq=_whole(fields.get("seq", "")),
        row=fields.get("row", ""),
        charged=None if charged is None else Credits(charged),
    )


def _whole(text: str) -> int | None:
    is_one = re.fullmatch(r"-?\d{1,15}", text, re.ASCII)
    return int(text) if is_one else None


def _id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""


async def all(connection: AsyncConnection) -> list[DeadLetter]:
    """Every one of them, the oldest first."""
    found = await connection.execute(select(table).order_by(table.c.id))
    return [DeadLetter(**row) for row in found.mappings()]
