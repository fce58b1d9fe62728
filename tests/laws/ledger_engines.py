"""The real ledger for the machine: Redis, SQL, and what moves credits between them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

from redis.asyncio import Redis

from gateway.background.crediting import Crediting
from gateway.background.expiry import Expiry
from gateway.background.recorder import Recorder
from storage.accounts import Accounts
from storage.balances import Balances
from storage.database import Database
from storage.fenced import Fenced
from storage.partitions import Partitions
from storage.scripts import Scripts, connect
from storage.spending import Spending

T = TypeVar("T")


class Engines:
    """One event loop with the real ledger on a Redis and a SQLite, for many examples."""

    def __init__(self, redis_url: str, records_url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.redis: Redis = connect(redis_url)
        self.database = Database.open(records_url)
        self.scripts = Scripts(self.redis)
        self.partitions = Partitions(self.redis, self.scripts, self.database)
        self.balances = Balances(self.redis, self.scripts, self.partitions)
        fenced = Fenced(self.scripts, self.partitions)
        self.spending = Spending(self.database, fenced)
        self.accounts = Accounts(self.database, self.balances, self.partitions)
        self.crediting = Crediting(self.database, self.balances, self.accounts)
        self.expiry = Expiry(self.database, self.balances, self.accounts, self.crediting)
        self.losses: list[str] = []
        self.recorder = Recorder(self.database, self.redis, on_loss=self._lost)
        self.calls = 0
        self.run(self.partitions.begin())

    async def _lost(self, _: int, reason: str) -> None:
        self.losses.append(reason)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        self.calls += 1
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.run(self.redis.aclose())
        self.run(self.database.close())
        self.loop.close()


def now() -> datetime:
    """The time that SQL is given."""
    return datetime.now(UTC)
