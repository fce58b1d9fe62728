"""Migrations of a PostgreSQL that is in use: calls go on, and what was interrupted goes on too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, text

from storage import database as module
from storage import schema
from storage.database import Database
from storage.errors import RecordsUnavailable
from storage.ids import new_id
from tests.gateway.cli.test_db import BUSINESS, CALL

pytestmark = pytest.mark.anyio

INDEX = "ix_ai_transactions_without_day"
IS_VALID = f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{INDEX}')"
MAKES_IT = "state = 'active' AND query LIKE 'CREATE INDEX CONCURRENTLY%'"


class Live:
    """A PostgreSQL of before the daily figures, with one business that calls."""

    def __init__(self, url: str) -> None:
        self.database = Database.open(url)
        self._acme = new_id()

    async def begin(self) -> None:
        def to_the_second(connection: Connection) -> None:
            schema._upgrade(connection, "0002")

        async with self.database.changing_tables() as connection:
            await connection.run_sync(to_the_second)
        async with self.database.write() as connection:
            await connection.execute(text(BUSINESS), {"id": self._acme})
        await self.call()

    async def call(self) -> None:
        """One is recorded, as a gateway of before does it; whoever keeps it waiting loses."""
        async with self.database.write() as connection:
            await connection.execute(text("SET LOCAL lock_timeout = '1s'"))
            await connection.execute(text(CALL), {"id": new_id(), "acme": self._acme})

    async def asked(self, sql: str) -> Any:
        async with self.database.read() as connection:
            return await connection.scalar(text(sql))

    @asynccontextmanager
    async def reading(self, table: str) -> AsyncIterator[None]:
        """A long report, which sees one moment to its end."""
        async with self.database.read() as connection:
            await connection.execute(text(f"SELECT count(*) FROM {table}"))
            yield

    async def until_the_index_waits(self) -> None:
        """It is there and not to be used yet: it waits for the report."""
        while await self.asked(IS_VALID) is not False:
            await asyncio.sleep(0.001)


@pytest.fixture
async def live(postgres_url: str) -> AsyncIterator[Live]:
    opened = Live(postgres_url)
    await opened.begin()
    yield opened
    await opened.database.close()


async def test_calls_are_recorded_while_an_index_is_made(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes: neither a statement of it has a limit, nor its waiting."""
    limit_s = 0.05
    monkeypatch.setattr(module, "STATEMENT_TIMEOUT_S", limit_s)
    monkeypatch.setattr(module, "LOCK_TIMEOUT_S", limit_s)
    late = f"SELECT count(*) FROM pg_stat_activity WHERE {MAKES_IT} AND now() - query_start"
    async with live.reading("businesses"):
        upgrading = asyncio.create_task(schema.upgrade(live.database))
        await live.until_the_index_waits()
        while not await live.asked(f"{late} > interval '{2 * limit_s}s'"):
            assert not upgrading.done(), upgrading.result()
            await asyncio.sleep(0.001)

        await live.call()
    await upgrading

    await schema.check(live.database)
    assert await live.asked(IS_VALID) is True
    assert await live.asked("SELECT count(*) FROM ai_transactions WHERE day IS NULL") == 2


async def test_an_index_that_was_interrupted_is_made_anew(live: Live) -> None:
    """What is left of it is of no use to anybody, and PostgreSQL keeps it up to date."""
    async with live.reading("businesses"):
        upgrading = asyncio.create_task(schema.upgrade(live.database))
        await live.until_the_index_waits()
        await live.asked(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {MAKES_IT}")
        with pytest.raises(RecordsUnavailable):
            await upgrading
    assert await live.asked(IS_VALID) is False
    await live.call()

    await schema.upgrade(live.database)

    await schema.check(live.database)
    assert await live.asked(IS_VALID) is True


async def test_what_was_stopped_after_the_index_goes_on(live: Live) -> None:
    """The column and the index are there, and the tables still say 0002."""
    async with live.database.changing_tables() as connection:
        await connection.run_sync(schema._upgrade, "0003")
    async with live.database.write() as connection:
        for each in ("v_ai_transactions", "v_margin_monthly", "v_usage_daily"):
            await connection.execute(text(f"DROP VIEW {each}"))
        for each in ("v_credit_movements", "v_liability"):
            await connection.execute(text(f"DROP VIEW {each}"))
        await connection.execute(text("DROP TABLE usage_daily"))
        await connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))

    await schema.upgrade(live.database)

    await schema.check(live.database)
    assert await live.asked("SELECT count(*) FROM v_ai_transactions") == 1


async def test_a_table_that_is_in_use_is_not_waited_for(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody would wait behind it; it says so, and nothing has changed."""
    monkeypatch.setattr(module, "LOCK_TIMEOUT_S", 0.05)
    async with live.reading("ai_transactions"):
        with pytest.raises(RecordsUnavailable, match="a table is in use: another session"):
            await schema.upgrade(live.database)
        await live.call()

    await schema.upgrade(live.database)
    await schema.check(live.database)


async def test_two_upgrades_of_a_live_database_wait_for_each_other(live: Live) -> None:
    """The one that waits does not keep the other one's index waiting for it."""
    async with live.reading("businesses"):
        first, second = (asyncio.create_task(schema.upgrade(live.database)) for _ in range(2))
        await live.until_the_index_waits()
    await asyncio.gather(first, second)

    await schema.check(live.database)
    assert await live.asked(IS_VALID) is True
