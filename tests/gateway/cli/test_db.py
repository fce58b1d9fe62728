"""`gateway db upgrade`: the tables, and the daily figures of calls of before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from alembic import command as alembic
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.cli import db
from storage import schema
from storage.database import Database
from tests.gateway.cli.test_lists import call
from tests.storage.rolled_up import grouped, rollup

T = TypeVar("T")

ACME = "01a203fa-af21-700d-832a-8d36665539ff"


def in_sql(url: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    async def in_one_transaction() -> T:
        database = Database.open(url)
        try:
            async with database.write() as connection:
                return await work(connection)
        finally:
            await database.close()

    return asyncio.run(in_one_transaction())


@pytest.fixture
def of_before(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Records of the first schema, with a business and 25 calls, on SQLite and PostgreSQL."""
    monkeypatch.setenv("GATEWAY__SQL__URL", database_url)

    def to_the_first(connection: Connection) -> None:
        config = schema._config()
        config.attributes["connection"] = connection
        alembic.upgrade(config, "0001")

    async def fill(connection: AsyncConnection) -> None:
        await connection.run_sync(to_the_first)
        await connection.execute(text(BUSINESS), {"id": _id(connection, ACME)})
        for seq in range(1, 26):
            row = call(ACME, seq)
            await connection.execute(
                text(CALL), {"id": _id(connection, row["id"]), "acme": _id(connection, ACME)}
            )

    in_sql(database_url, fill)
    return database_url


def _id(connection: AsyncConnection, id: str) -> str:
    return id.replace("-", "") if connection.dialect.name == "sqlite" else id


BUSINESS = """
    INSERT INTO businesses (id, name, owner_email, status, currency, time_zone,
        low_balance_threshold_microcredits, expires_after_months, settings, created_at, updated_at)
    VALUES (:id, 'Acme', 'a@b.example', 'active', 'GHS', 'Africa/Accra', 0, 6, '{}',
        '2026-11-22 12:00:00', '2026-11-22 12:00:00')
"""
CALL = """
    INSERT INTO ai_transactions (id, business_id, endpoint, model, credits_used_microcredits,
        cost_to_us_picodollars, tokens_used, usage, usage_source, estimated, timestamp, success,
        credits_held_microcredits, shortfall_microcredits, outcome, price_version, epoch,
        recorded_at)
    VALUES (:id, :acme, 'chat.completions', 'gpt-5', 2500000, 7, 120, '{}', 'reported', false,
        '2026-11-22 12:00:00.000000', true, 0, 0, 'settled', 'v', 1, '2026-11-22 12:00:00.000000')
"""


def test_calls_of_before_are_counted(
    of_before: str, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pieces, with a line for each; a second run finds nothing left to do."""
    monkeypatch.setattr(db, "ROWS", 10)

    first, second = command("db", "upgrade"), command("db", "upgrade")

    assert (first.code, second.code) == (0, 0)
    assert first.err.splitlines()[-1] == "counted 25 calls for the daily figures"
    assert len(first.err.splitlines()) == 3
    assert second.err == ""
    [group] = in_sql(of_before, rollup)
    assert in_sql(of_before, grouped) == [group]
    assert group[6:] == (25, 0, 3000, 62_500_000, 175)


def test_a_gateway_of_before_goes_on_recording(of_before: str, command: Any) -> None:
    """It knows no day; the next look of a newer one counts what it wrote."""
    assert command("db", "upgrade").code == 0

    async def record_as_before(connection: AsyncConnection) -> None:
        row = call(ACME, 26)
        await connection.execute(
            text(CALL), {"id": _id(connection, row["id"]), "acme": _id(connection, ACME)}
        )

    in_sql(of_before, record_as_before)
    assert command("db", "upgrade").code == 0

    [group] = in_sql(of_before, rollup)
    assert group[6] == 26
