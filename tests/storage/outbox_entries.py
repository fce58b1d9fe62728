"""Outbox entries as the scripts write them, and a business to write them for."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis as Client
from sqlalchemy import func, select

from metering.money import Credits
from storage import (
    businesses,
    movements,
    outbox,
    partition_rows,
    purchases,
    redis_keys,
    transactions,
)
from storage.balance_rows import LedgerRow
from storage.businesses import Business
from storage.database import Database
from storage.ids import new_id
from storage.movements import CreditEvent
from storage.outbox import Entry, entry_of
from storage.recording import Recorded
from storage.redis_keys import PARTITIONS, partition_of
from storage.tables import ai_transactions, credit_movements

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_MS = 1_795_348_800_000
LATER = NOW + timedelta(days=30)
AFTER = LATER + timedelta(days=1)


def credits(text: str) -> Credits:
    """`credits("77.50")`."""
    return Credits.parse(text)


async def add_business(
    database: Database, *, topped_up: str | None = None, at: datetime = NOW, **more: Any
) -> Business:
    """A business, with a first top-up when it has one."""
    async with database.write() as connection:
        await partition_rows.ensure(connection)
        business = await businesses.add(
            connection, name="Acme", owner_email="owner@acme.example", at=at, **more
        )
        if topped_up is not None:
            await purchases.top_up(
                connection, business=business.id, credits=credits(topped_up), at=at
            )
    return business


async def ledger_row(database: Database, business: Business | str) -> LedgerRow:
    """The active balance row of a business."""
    id = business if isinstance(business, str) else business.id
    async with database.read() as connection:
        return await businesses.ledger_row(connection, id)


async def movements_minus_charged(database: Database, business: Business) -> Credits:
    """What the balance must be: Σ movements − Σ charged."""
    moved = select(func.coalesce(func.sum(credit_movements.c.amount_microcredits), 0))
    charged = select(func.coalesce(func.sum(ai_transactions.c.credits_used_microcredits), 0))
    async with database.read() as connection:
        added = await connection.scalar(moved.where(credit_movements.c.business_id == business.id))
        used = await connection.scalar(charged.where(ai_transactions.c.business_id == business.id))
    return Credits(int(added or 0) - int(used or 0))


@dataclass
class Redis:
    """
    Writes entries of one business as settle.lua and credit.lua would.

    Set `seq` or `counter` back, and it is a Redis that was rolled back.
    """

    business: str
    seq: int = 0
    counter: int = 0
    epoch: int = 1
    credit_seq: int = 1
    balance: int = 0
    at_ms: int = NOW_MS
    _entry_ids: Any = field(default_factory=lambda: itertools.count(1))

    def charges(self, text: str, *, id: str | None = None, **more: Any) -> Entry:
        """A settled call."""
        row: dict[str, Any] = {
            "key_id": None,
            "endpoint": "chat",
            "model": "gpt-5.2",
            "success": True,
        }
        row |= {"usage": {"input": 100, "output": 20, "images": 1}, "usage_source": "reported"}
        row |= {"cost_pico": "1250000000", "started_at_ms": NOW_MS, "price_version": "v1"}
        row |= more.pop("row", {})
        fields = {
            "charged": str(Credits.parse(text).micro),
            "shortfall": "0",
            "granted": "5000000",
            "outcome": "settled",
            "alerts": "",
            "low_at": "10000000",
            "row": json.dumps(row),
        }
        return self._entry("transaction", id, fields | more)

    def takes_back(
        self, text: str, *, owed: str = "0", id: str | None = None, **more: str
    ) -> Entry:
        """A take-back: what was there, and the signed change of what is owed."""
        amount, delta = (str(Credits.parse(each).micro) for each in (text, owed))
        fields = {"amount": amount, "owed_delta": delta, "reference": ""}
        return self._entry("taken_back", id, fields | more)

    def expires(self, text: str, *, id: str | None = None, **more: str) -> Entry:
        """What was left on the last day."""
        fields = {"amount": str(Credits.parse(text).micro), "alerts": "expired", "reference": ""}
        return self._entry("expired", id, fields | more)

    def _entry(self, kind: str, id: str | None, fields: dict[str, str]) -> Entry:
        self.seq += 1
        self.counter += 1
        head = {
            "v": "1",
            "kind": kind,
            "epoch": str(self.epoch),
            "counter": str(self.counter),
            "business": self.business,
            "seq": str(self.seq),
            "credit_seq": str(self.credit_seq),
            "at_ms": str(self.at_ms),
            "balance": str(self.balance),
            "id": id or new_id(),
        }
        entry_id = f"{next(self._entry_ids)}-{uuid4().int % 1000}"
        return entry_of(partition_of(self.business), entry_id, head | fields)


async def write_event(database: Database, business: Business, verb: str, text: str) -> CreditEvent:
    """The next credit event; an addition lasts until LATER."""
    kinds: dict[str, Any] = {"add": "purchase", "take": "refund", "configure": "configure"}
    async with database.write() as connection:
        return await movements.write_event(
            connection,
            business=business.id,
            kind=kinds[verb],
            verb=verb,  # type: ignore[arg-type]
            amount=credits(text),
            expires_at=LATER if verb == "add" else None,
            reference=None,
            reason="a test",
            at=NOW,
        )


async def expiring(database: Database) -> tuple[Business, Redis]:
    """A business with 5 credits until LATER, and its Redis a day after that."""
    acme = await add_business(database)
    await write_event(database, acme, "add", "5")
    return acme, Redis(acme.id, at_ms=movements.as_ms(AFTER))


async def top_up(database: Database, business: Business, text: str, at: datetime = AFTER) -> None:
    """A purchase after LATER."""
    async with database.write() as connection:
        await purchases.top_up(connection, business=business.id, credits=credits(text), at=at)


async def record(database: Database, *entries: Entry) -> Recorded:
    """What the recorder does with entries, in one transaction."""
    async with database.write() as connection:
        return await transactions.record(connection, entries, at=NOW)


async def put(client: Client, *entries: Entry) -> None:
    """Into the streams, as the scripts do."""
    for entry in entries:
        fields: dict[Any, Any] = {**entry.fields}
        await client.xadd(redis_keys.outbox(entry.partition), fields)


async def left(client: Client) -> list[Entry]:
    """What is still in the streams."""
    return await outbox.read(client, range(PARTITIONS), 100_000)


async def recorded_balance(database: Database, business: Business) -> str:
    """As SQL has it."""
    return str((await ledger_row(database, business)).balance)
