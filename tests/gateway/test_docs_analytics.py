"""docs/analytics.md: its queries run, its role reads and no more, its columns are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from storage import transactions
from storage.database import Database
from storage.errors import RecordsUnavailable
from tests import postgres
from tests.engine import Engine
from tests.storage.outbox_entries import NOW, Redis, add_business

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "analytics.md").read_text()
VIEWS = (
    "v_ai_transactions",
    "v_usage_daily",
    "v_credit_movements",
    "v_margin_monthly",
    "v_liability",
)


def blocks(heading: str, kind: str = "sql") -> list[str]:
    """The code under a heading."""
    part = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{kind}\n(.*?)```", part, re.DOTALL)


QUERIES = blocks("Ten questions")


@pytest.fixture
async def filled(database: Database) -> Database:
    """Two businesses with purchases and calls, some of which failed."""
    for name in ("ama", "kofi"):
        shop = await add_business(database, topped_up="50")
        redis = Redis(shop.id)
        row: dict[str, Any] = {"user": name, "processing_ms": 850, "first_byte_ms": 200}
        calls = [redis.charges("2.5", row=row), redis.charges("1", row=row | {"success": False})]
        async with database.write() as connection:
            await transactions.record(connection, calls, at=NOW)
    return database


def test_there_are_ten() -> None:
    """As many as the heading says."""
    assert len(QUERIES) == 10


@pytest.mark.parametrize("query", QUERIES, ids=[query.splitlines()[0][:50] for query in QUERIES])
async def test_each_query_answers(filled: Database, query: str) -> None:
    """On SQLite and on PostgreSQL, as it stands on the page."""
    async with filled.read() as connection:
        rows = (await connection.execute(text(query.rstrip().rstrip(";")))).all()

    assert rows


async def test_the_figures_are_right(filled: Database) -> None:
    """The first question: both businesses, all they used."""
    async with filled.read() as connection:
        rows = (await connection.execute(text(QUERIES[0].rstrip().rstrip(";")))).all()

    assert [(row.calls, float(row.credits), float(row.cost_usd)) for row in rows] == [
        (2, 3.5, 0.0025)
    ] * 2


async def test_each_column_of_a_view_is_on_the_page(database: Database) -> None:
    """And none that is not there."""

    def columns_of(connection: Connection) -> dict[str, set[str]]:
        found = inspect(connection)
        return {view: {column["name"] for column in found.get_columns(view)} for view in VIEWS}

    async with database.read() as connection:
        there = await connection.run_sync(columns_of)

    for view in VIEWS:
        paragraph = PAGE.partition(f"\n`{view}`: ")[2].partition("\n\n")[0]
        assert set(re.findall(r"`([a-z_]+)`", paragraph)) == there[view], view
    [sources] = blocks("dbt", "yaml")
    assert tuple(re.findall(r"\n      - name: (\w+)", sources)) == VIEWS


async def test_the_role_reads_and_no_more(
    postgres_engine: Engine, postgres_records_url: str
) -> None:
    """It sees every view; no key, no address, and it writes nothing."""
    name = postgres_records_url.rpartition("/")[2].partition("?")[0]
    [grants] = blocks("A role that can only read")
    # Roles are the server's and not a database's; the next run makes its own.
    role = f"analyst_{name}"
    postgres.psql(postgres_engine.socket_dir, grants.replace("analyst", role), database=name)
    database = Database.open(postgres_records_url.replace("postgres@", f"{role}@"))

    async def may(sql: str) -> bool:
        try:
            async with database.read() as connection:
                await connection.execute(text(sql))
        except DBAPIError as error:
            return "permission denied" not in str(error)
        return True

    try:
        for view in VIEWS:
            assert await may(f"SELECT * FROM {view}")
        assert await may("SELECT name FROM businesses")
        for secret in ("owner_email FROM businesses", "* FROM api_keys", "* FROM audit_log"):
            assert not await may(f"SELECT {secret}")
        with pytest.raises(RecordsUnavailable, match="read-only transaction"):
            await may("DELETE FROM usage_daily")
    finally:
        await database.close()
        postgres.psql(
            postgres_engine.socket_dir, f"DROP OWNED BY {role}; DROP ROLE {role}", database=name
        )
