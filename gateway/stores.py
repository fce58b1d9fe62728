"""Redis, SQL and the ledger on them: what every process of the gateway opens first."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from gateway.dev.embedded import EmbeddedStore
from gateway.settings import Settings
from gateway.tally import Tally
from storage import schema
from storage.accounts import Accounts
from storage.balances import Balances
from storage.database import Database
from storage.durability import warn_unless_durable
from storage.fenced import Fenced
from storage.leases import Leases
from storage.partitions import Partitions
from storage.scripts import Scripts, connect
from storage.spending import Spending


@dataclass(frozen=True)
class Stores:
    redis: Redis
    database: Database


@dataclass(frozen=True)
class Ledger:
    scripts: Scripts
    partitions: Partitions
    balances: Balances
    accounts: Accounts
    spending: Spending
    leases: Leases


async def open_stores(stack: AsyncExitStack, settings: Settings, data_dir: Path | None) -> Stores:
    url = secret(settings.redis.url)
    if settings.redis.embedded:
        assert data_dir is not None, "an embedded Valkey needs a data directory"
        store = await stack.enter_async_context(EmbeddedStore.running(data_dir))
        url = store.url
    redis = connect(url)
    stack.push_async_callback(redis.aclose)
    if settings.redis.durability == "aof_always":
        await warn_unless_durable(redis)
    database = Database.open(secret(settings.sql.url))
    stack.push_async_callback(database.close)
    await schema.check(database)
    return Stores(redis, database)


async def open_ledger(stack: AsyncExitStack, stores: Stores, tally: Tally) -> Ledger:
    scripts = Scripts(stores.redis, on_answered=tally.redis_answered, on_failed=tally.redis_failed)
    stack.push_async_callback(scripts.close)
    partitions = Partitions(
        stores.redis, scripts, stores.database, on_frozen=tally.partition_frozen
    )
    await partitions.begin()
    balances = Balances(stores.redis, scripts, partitions)
    accounts = Accounts(stores.database, balances, partitions)
    spending = Spending(stores.database, Fenced(scripts, partitions))
    leases = Leases(scripts)
    stack.push_async_callback(leases.give_back)
    return Ledger(scripts, partitions, balances, accounts, spending, leases)


def secret(value: Any) -> str:
    """The text of a secret that is needed."""
    assert value is not None, "settings that are needed were checked before the start"
    text: str = value.get_secret_value()
    return text
