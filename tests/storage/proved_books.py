"""Books to be proved: a ledger in Redis and SQL, and what moves credits between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis as BlockingRedis
from sqlalchemy import text

from gateway.background.crediting import Crediting
from gateway.background.recorder import Recorder
from metering.money import Credits
from storage import businesses, purchases, redis_keys
from storage.accounts import Accounts
from storage.balances import Balances
from storage.database import Database
from storage.ids import new_id
from storage.partitions import Partitions
from storage.proof import Violation
from storage.proving import Prover
from storage.scripts import Scripts, connect


@dataclass
class Books:
    """A ledger without a gateway; every step of it is one of ours."""

    redis: Any
    database: Database
    balances: Balances
    accounts: Accounts
    crediting: Crediting
    recorder: Recorder

    async def business(self, credits: str = "50.00") -> str:
        """A business whose credits are in Redis."""
        at = datetime.now(UTC)
        async with self.database.write() as connection:
            made = await businesses.add(connection, name="A", owner_email="a@example.com", at=at)
        await self.top_up(made.id, credits)
        await self.crediting.apply(made.id)
        return made.id

    async def top_up(self, business: str, credits: str) -> None:
        """Into SQL; Redis has it once `crediting` was asked."""
        async with self.database.write() as connection:
            await purchases.top_up(
                connection, business=business, credits=Credits.parse(credits), at=datetime.now(UTC)
            )

    async def take(self, business: str, credits: str) -> None:
        """Take credits back, as an admin corrects a balance."""
        async with self.database.write() as connection:
            await purchases.adjust(
                connection, business=business, credits=-Credits.parse(credits), reason="r",
                user="admin", at=datetime.now(UTC),
            )  # fmt: skip

    async def hold(self, business: str, credits: str) -> str:
        """Set credits aside; the id of the hold."""
        id, amount = new_id(), Credits.parse(credits)
        await self.balances.hold(
            business=business, id=id, ceiling=amount, floor=amount, lease_s=60, note="{}"
        )
        return id

    async def call(self, business: str, credits: str) -> str:
        """A call that used so much; it is in the outbox."""
        id = await self.hold(business, credits)
        await self.balances.settle(
            business=business, id=id, amount=Credits.parse(credits), outcome="settled", row="{}"
        )
        return id

    async def record(self) -> None:
        """Empty the outbox into SQL."""
        while await self.recorder.record_once():
            pass

    async def sql(self, statement: str, **given: Any) -> None:
        """What nobody but a test may do to the records."""
        async with self.database.write() as connection:
            await connection.execute(text(statement), given)

    def sql_id(self, id: str) -> str:
        """An id as this database writes it."""
        return id.replace("-", "") if self.database.dialect == "sqlite" else id

    async def proved(self) -> list[Violation]:
        """What is wrong, looked at again without a pause."""
        prover = Prover(self.database, self.redis, pauses_s=(0, 0))
        return [each async for page in prover.all() for each in page.violations]

    async def broken(self) -> list[tuple[str, str, int]]:
        """The same, in short."""
        return [(each.law, each.what, each.difference) for each in await self.proved()]


def account_of(business: str) -> str:
    """Its key in Redis."""
    return redis_keys.account(redis_keys.partition_of(business), business)


def outbox_of(business: str) -> str:
    """The key of its stream in Redis."""
    return redis_keys.outbox(redis_keys.partition_of(business))


@asynccontextmanager
async def open_books(redis_url: str, records_url: str) -> AsyncIterator[Books]:
    """Books on these engines."""
    redis, database = connect(redis_url), Database.open(records_url)
    scripts = Scripts(redis)
    partitions = Partitions(redis, scripts, database)
    await partitions.begin()
    balances = Balances(redis, scripts, partitions)
    accounts = Accounts(database, balances, partitions)
    crediting = Crediting(database, balances, accounts)
    yield Books(redis, database, balances, accounts, crediting, Recorder(database, redis))
    await scripts.close()
    await redis.aclose()
    await database.close()


@pytest.fixture(params=["valkey_engine sqlite", "redis7_engine postgres"])
async def books(request: pytest.FixtureRequest) -> AsyncIterator[Books]:
    """Books on two pairs of engines, which are all four of them; `test_verify` has each pair."""
    engine, records = request.param.split(" ")
    redis_url = request.getfixturevalue(engine).url
    with BlockingRedis.from_url(redis_url) as client:
        client.flushall()
    async with open_books(redis_url, request.getfixturevalue(f"{records}_records_url")) as opened:
        yield opened


@pytest.fixture
async def acme(books: Books) -> str:
    """A business in the middle of its day: two calls recorded, one on its way, one running."""
    business = await books.business()
    await books.call(business, "2.50")
    await books.call(business, "2.00")
    await books.record()
    await books.call(business, "1.00")
    await books.hold(business, "3.00")
    return business
