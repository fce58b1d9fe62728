"""AITransaction: one call, whether it worked or not; recorded exactly once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ARRAY, Select, Table, any_, bindparam, func, or_, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import Credits, Usd
from storage import balance_rows, dead_letters, pages, partition_rows, usage_daily
from storage.bulk_insert import insert_rows
from storage.deliveries import Channel, raise_alerts
from storage.errors import NotFound
from storage.ids import known_id
from storage.outbox import Entry
from storage.recording import Batch, Place, Recorded
from storage.tables import Id, api_keys, credit_movements
from storage.tables import ai_transactions as table
from storage.transaction_rows import number
from storage.transaction_rows import transaction as columns_of

LAST_USED_EVERY = timedelta(minutes=1)  # How exact a key's last use is; each step is a write.


@dataclass(frozen=True, slots=True)
class Transaction:
    """
    One call.

    Attributes:
        credits_used: Charged; signed where `outcome` is adjusted.
        usage: Unit → count.
        usage_source: reported, counted or none.
        credits_held: Set aside before the call.
        shortfall: Billed by OpenAI beyond what could be charged.
        outcome: settled, released, orphaned or adjusted.
        adjusts: The transaction that this one corrects.
        seq: None when it came from a rolled-back Redis.
        day: The business's, under which `usage_daily` counts it; None while it does not.
    """

    id: str
    business: str
    key_id: str | None
    user: str | None
    feature: str | None
    endpoint: str
    model: str
    credits_used: Credits
    cost_to_us: Usd
    tokens_used: int
    usage: dict[str, int]
    usage_source: str
    estimated: bool
    timestamp: datetime
    success: bool
    http_status: int | None
    processing_time_ms: int | None
    first_byte_ms: int | None
    credits_held: Credits
    shortfall: Credits
    outcome: str
    adjusts: str | None
    price_version: str
    upstream_request_id: str | None
    epoch: int
    seq: int | None
    recorded_at: datetime
    day: date | None


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """How a call ended, as SQL has it."""

    outcome: str
    credits_used: Credits


async def record(
    connection: AsyncConnection,
    entries: Sequence[Entry],
    *,
    at: datetime,
    channels: Collection[Channel] = (),
) -> Recorded:
    """
    Store a batch of outbox entries, each exactly once however often it comes.

    The rows of the partitions are locked, in their order, and with them everything that
    is recorded of their businesses: what is read after that stays true until the end, so
    the ids that are not stored yet are exactly those that the balances change by.

    Args:
        entries: Of any partitions; those of one business in the order of their stream.
            They are of one epoch or are left alone.
        channels: Through which owners and operators are told of the alerts among them.
    """
    partitions = await partition_rows.lock(connection, {entry.partition for entry in entries})
    readable = [entry for entry in entries if not entry.why]
    balances = await balance_rows.lock(connection, {entry.business for entry in readable})
    batch = Batch(
        partitions,
        balances,
        stored=await _stored(connection, readable),
        armed=await _armed(connection, readable),
        at=at,
    )
    batch.decide(entries)
    await _write(connection, batch, at, channels)
    return batch.recorded


async def _stored(connection: AsyncConnection, entries: Collection[Entry]) -> dict[str, Place]:
    """Where those of the entries' ids are stored that are stored already."""
    places: dict[str, Place] = {}
    calls = [entry.id for entry in entries if entry.kind == "transaction"]
    others = [entry.id for entry in entries if entry.kind != "transaction"]
    for stored_in, ids in ((table, calls), (credit_movements, others)):
        if ids:
            query = _places(stored_in, connection.dialect.name)
            found = await connection.execute(query, {"ids": ids})
            places |= {id: (epoch, seq) for id, epoch, seq in found}
    return places


@cache
def _places(stored_in: Table, dialect: str) -> Select[Any]:
    """Id, epoch and seq of the rows whose ids are given; made once, asked all the time."""
    columns = stored_in.c
    query = select(columns.id, columns.epoch, columns.seq)
    if dialect == "postgresql":
        # One parameter, however many ids; each one of its own would cost more than the rows.
        return query.where(columns.id == any_(bindparam("ids", type_=ARRAY(Id))))
    return query.where(columns.id.in_(bindparam("ids", expanding=True)))


async def _armed(connection: AsyncConnection, entries: Collection[Entry]) -> dict[str, int]:
    """Business → its last addition, for those whose alerts were raised."""
    raised = sorted({entry.business for entry in entries if entry.fields.get("alerts")})
    if not raised:
        return {}
    found = await connection.execute(
        select(credit_movements.c.business_id, func.max(credit_movements.c.credit_seq))
        .where(credit_movements.c.business_id.in_(raised))
        .where(credit_movements.c.requested_microcredits > 0)
        .group_by(credit_movements.c.business_id)
    )
    return {row[0]: row[1] for row in found}


async def _write(
    connection: AsyncConnection, batch: Batch, at: datetime, channels: Collection[Channel]
) -> None:
    await usage_daily.name_days(connection, batch.transactions)
    for into, rows in ((table, batch.transactions), (credit_movements, batch.movements)):
        # Ordered, so that the index of a business grows at one place for each.
        rows.sort(key=lambda row: (row["business_id"], row["seq"] or 0))
        await insert_rows(connection, into, rows)
    await usage_daily.add(connection, batch.transactions)
    if batch.alerts:
        await raise_alerts(connection, batch.alerts, channels, at)
    await balance_rows.write(connection, batch.balances.values(), at)
    await partition_rows.raise_counters(connection, batch.counters)
    for partition, reason in batch.recorded.lost.items():
        await partition_rows.freeze(connection, partition, reason)
    await _note_use(connection, batch.transactions, at)


async def _note_use(
    connection: AsyncConnection, rows: Collection[dict[str, Any]], at: datetime
) -> None:
    used = sorted({row["key_id"] for row in rows if row["key_id"]})
    if used:
        before = or_(
            api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < at - LAST_USED_EVERY
        )
        await connection.execute(
            update(api_keys).where(api_keys.c.id.in_(used), before).values(last_used_at=at)
        )


async def stored_ids(connection: AsyncConnection, ids: Collection[str]) -> set[str]:
    """Those of `ids` that are recorded."""
    query = _places(table, connection.dialect.name)
    return {row[0] for row in await connection.execute(query, {"ids": list(ids)})}


async def outcome_of(connection: AsyncConnection, id: str) -> StoredOutcome | None:
    """How the call ended, and what it was charged; None while it is not recorded."""
    found = await connection.execute(
        select(table.c.outcome, table.c.credits_used_microcredits).where(
            table.c.id == known_id("transaction", id)
        )
    )
    row = found.one_or_none()
    return row and StoredOutcome(row[0], Credits(row[1]))


async def spent_by(
    connection: AsyncConnection, business: str, key: str, *, up_to_seq: int
) -> Credits | None:
    """
    What a key was charged up to a change of its business; None while SQL has not all of it.

    Rows that Redis has forgotten the numbers of count as well, and dead letters: they are
    never waited for, and what they charged was spent. None, too, while a letter of the key
    does not say how much that was.
    """
    last = await balance_rows.read(connection, business)
    letters = await dead_letters.changes_of(connection, business)
    to_come = range(last.seq + 1, up_to_seq + 1)
    buried = {each.seq for each in letters if each.epoch == last.epoch and each.seq in to_come}
    if len(buried) < len(to_come):
        return None
    before = [each for each in letters if each.is_before(last.epoch, up_to_seq)]
    charged = await _charged_by_letters(connection, key, before)
    if charged is None:
        return None
    found = await connection.execute(
        select(func.sum(table.c.credits_used_microcredits))
        .where(table.c.business_id == known_id("business", business))
        .where(table.c.key_id == known_id("key", key))
        .where(or_(table.c.seq <= up_to_seq, table.c.seq.is_(None)))
    )
    return charged + Credits(int(found.scalar_one() or 0))


async def _charged_by_letters(
    connection: AsyncConnection, key: str, letters: Collection[dead_letters.Change]
) -> Credits | None:
    """What those of a key have charged that nobody has recorded since; None when unknown."""
    mine = [each for each in letters if each.names(key)]
    stored = await stored_ids(connection, {each.id for each in mine if each.id}) if mine else set()
    amounts = [each.charged for each in mine if each.id not in stored]
    if None in amounts:
        return None
    return sum(filter(None, amounts), Credits(0))


async def page(
    connection: AsyncConnection, business: str, *, limit: int, after: str | None = None
) -> list[Transaction]:
    """Calls of `business`, newest first; `after` is the last id seen."""
    found = await pages.newest(
        connection, table, noun="transaction", limit=limit, after=after, business=business
    )
    return [_transaction(row) for row in found]


async def get(connection: AsyncConnection, id: str) -> Transaction:
    """
    One call.

    Raises:
        NotFound: There is none with this id, or it is not recorded yet.
    """
    found = await connection.execute(select(table).where(table.c.id == known_id("transaction", id)))
    row = found.one_or_none()
    if row is None:
        raise NotFound("transaction", id)
    return _transaction(row)


def of_entry(entry: Entry, *, at: datetime) -> Transaction:
    """
    The call that an outbox entry will be stored as.

    Raises:
        EntryNotUnderstood: It cannot be stored as it is.
    """
    charged, shortfall = number(entry, "charged"), number(entry, "shortfall")
    columns = columns_of(entry, charged=charged, shortfall=shortfall, seq=entry.seq, at=at)
    # The recorder will know its day; it is the business's own, and nobody asks for it here.
    return _of_columns({"day": None, **columns})


def _transaction(row: Row[Any]) -> Transaction:
    return _of_columns(dict(row._mapping))


def _of_columns(columns: dict[str, Any]) -> Transaction:
    return Transaction(
        business=columns.pop("business_id"),
        credits_used=Credits(columns.pop("credits_used_microcredits")),
        cost_to_us=Usd(columns.pop("cost_to_us_picodollars")),
        credits_held=Credits(columns.pop("credits_held_microcredits")),
        shortfall=Credits(columns.pop("shortfall_microcredits")),
        **columns,
    )
