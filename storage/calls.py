"""
One call of a business, wherever it is: running, on its way to SQL, or recorded.

A call is in SQL a moment after its reply. Until then it is looked for where it is, so that
who asks for it at once is not told that it never was.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from storage import outbox, redis_keys, transactions
from storage.database import Database
from storage.errors import NotFound
from storage.ids import known_id
from storage.partitions import Partitions
from storage.transactions import Transaction

# Of a partition; what waits behind so many has SQL away, and then nothing is found anyway.
WAITING_MOST = 1000


class Running(Exception):
    """The call is under way, or its settlement is: there is nothing to tell of it yet."""


class Calls:
    """Finds calls by their id."""

    def __init__(self, database: Database, redis: Redis, partitions: Partitions) -> None:
        self._database = database
        self._redis = redis
        self._partitions = partitions

    async def find(self, business: str, id: str) -> Transaction:
        """
        A finished call of this business.

        Raises:
            NotFound: This business has made none with this id, whoever else has.
            Running: It is not finished.
            RecordsUnavailable, LedgerUnavailable
        """
        id = known_id("call", id)
        recorded = await self._recorded(business, id)
        if recorded is not None:
            return recorded
        is_held, is_settled = await self._in_redis(business, id)
        if is_held:
            raise Running(id)
        if is_settled:
            waiting = await self._waiting(business, id)
            # It may have been recorded since SQL was asked.
            found = waiting or await self._recorded(business, id)
            if found is not None:
                return found
        raise NotFound("call", id)

    async def _recorded(self, business: str, id: str) -> Transaction | None:
        async with self._database.read() as connection:
            try:
                found = await transactions.get(connection, id)
            except NotFound:
                return None
        return found if found.business == business else None

    async def _in_redis(self, business: str, id: str) -> tuple[bool, bool]:
        """Whether it is held by this business, and whether anybody's call has been settled."""
        p = redis_keys.partition_of(business)
        pipeline: Any = self._redis.pipeline(transaction=False)
        pipeline.hexists(redis_keys.holds(p, business), id)
        pipeline.exists(redis_keys.answer(p, id))
        is_held, is_settled = await self._partitions.asking(pipeline.execute())
        return bool(is_held), bool(is_settled)

    async def _waiting(self, business: str, id: str) -> Transaction | None:
        partition = redis_keys.partition_of(business)
        for entry in await outbox.latest(self._redis, partition, WAITING_MOST):
            if entry.id == id and entry.business == business and entry.kind == "transaction":
                return transactions.of_entry(entry, at=datetime.now(UTC))
        return None
