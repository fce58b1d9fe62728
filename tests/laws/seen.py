"""Seen: everything that Redis and SQL say of the ledger at one moment, to be judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import redis_keys, tables
from storage.database import Database


@dataclass(frozen=True)
class Account:
    """An account in Redis; amounts in micro-credits."""

    total: int
    held: int
    owed: int
    seq: int
    credit_seq: int


@dataclass(frozen=True)
class Seen:
    """
    What was read.

    Attributes:
        metas: Of each partition, by its number.
        holds: Business → hold id → what is stored of it.
        deadlines: Business and hold id.
        outbox: Entries that SQL has not stored yet, dead letters included.
        balances: Business → its current row: the active one, or the last that was.
        features_of: Key id → the features it may use.
        limits: Business and key id → what Redis counts of the key.
    """

    metas: Sequence[dict[str, str]]
    accounts: dict[str, Account]
    holds: dict[str, dict[str, str]]
    deadlines: set[tuple[str, str]]
    outbox: list[dict[str, str]]
    balances: dict[str, Any]
    partitions: list[Any]
    transactions: list[Any]
    movements: list[Any]
    purchases: list[Any]
    alerts: list[Any]
    features_of: dict[str, frozenset[str]]
    limits: dict[tuple[str, str], dict[str, str]]

    def transactions_of(self, business: str) -> list[Any]:
        """Its rows in SQL."""
        return [row for row in self.transactions if row.business_id == business]

    def movements_of(self, business: str) -> list[Any]:
        """Its rows in SQL."""
        return [row for row in self.movements if row.business_id == business]

    def waiting_of(self, business: str) -> list[dict[str, str]]:
        """What Redis has decided and SQL does not have."""
        return [entry for entry in self.outbox if entry["business"] == business]


async def look(redis: Any, database: Database) -> Seen:
    """Read all of it; `redis` decodes, which its types do not know."""
    async with database.read() as connection:
        transactions = await _rows(connection, tables.ai_transactions)
        movements = await _rows(connection, tables.credit_movements)
        balances = await _rows(connection, tables.business_ai_credits)
        purchases = await _rows(connection, tables.ai_credit_purchases)
        alerts = await _rows(connection, tables.ai_usage_alerts)
        dead_letters = await _rows(connection, tables.dead_letters)
        keys = await _rows(connection, tables.api_keys)
        partitions = await _rows(connection, tables.ledger_partitions)
    stored = {row.id for row in (*transactions, *movements)}
    waiting = [*await _outbox(redis), *(row.fields for row in dead_letters)]
    # The active one comes last; of several that are not, the newest.
    current = {row.business_id: row for row in sorted(balances, key=lambda r: (r.is_active, r.id))}
    businesses = list(current)
    return Seen(
        metas=[await redis.hgetall(redis_keys.meta(p)) for p in range(redis_keys.PARTITIONS)],
        accounts=await _accounts(redis, businesses),
        holds={business: await _holds(redis, business) for business in businesses},
        deadlines=await _deadlines(redis),
        outbox=[entry for entry in waiting if entry.get("id") not in stored],
        balances=current,
        partitions=partitions,
        transactions=transactions,
        movements=movements,
        purchases=purchases,
        alerts=alerts,
        features_of={key.id: frozenset(key.scopes.get("features") or ()) for key in keys},
        limits=await _limits(redis, keys),
    )


async def _rows(connection: AsyncConnection, table: Table) -> list[Any]:
    return list((await connection.execute(select(table))).all())


async def _accounts(redis: Any, businesses: list[str]) -> dict[str, Account]:
    accounts = {}
    for business in businesses:
        key = redis_keys.account(redis_keys.partition_of(business), business)
        found = await redis.hgetall(key)
        if found:
            numbers = ("total", "held", "owed", "seq", "credit_seq")
            accounts[business] = Account(*(int(found[name]) for name in numbers))
    return accounts


async def _holds(redis: Any, business: str) -> dict[str, str]:
    key = redis_keys.holds(redis_keys.partition_of(business), business)
    holds: dict[str, str] = await redis.hgetall(key)
    return holds


async def _limits(redis: Any, keys: list[Any]) -> dict[tuple[str, str], dict[str, str]]:
    found = {}
    for key in keys:
        name = redis_keys.limits(redis_keys.partition_of(key.business_id), key.id)
        counted = await redis.hgetall(name)
        if counted:
            found[key.business_id, key.id] = counted
    return found


async def _deadlines(redis: Any) -> set[tuple[str, str]]:
    members: set[tuple[str, str]] = set()
    for partition in range(redis_keys.PARTITIONS):
        for member in await redis.zrange(redis_keys.deadlines(partition), 0, -1):
            business, _, hold = member.partition(":")
            members.add((business, hold))
    return members


async def _outbox(redis: Any) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = []
    for partition in range(redis_keys.PARTITIONS):
        entries += [fields for _, fields in await redis.xrange(redis_keys.outbox(partition))]
    return entries
