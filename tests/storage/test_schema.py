"""Migrations make exactly the tables that the code knows, on both engines."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, inspect, text

from storage import schema
from storage.database import Database
from storage.errors import SchemaOutdated
from storage.tables import metadata

pytestmark = pytest.mark.anyio


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True}
    )
    return list(compare_metadata(context, metadata))


def checks(connection: Connection) -> dict[str, set[str | None]]:
    return {
        table: {check["name"] for check in inspect(connection).get_check_constraints(table)}
        for table in metadata.tables
    }


async def test_the_models_are_what_the_migrations_make(database: Database) -> None:
    """Tables, columns, types, comments, indexes, keys; and the checks, which Alembic skips."""
    named = {
        table.name: {each.name for each in table.constraints if isinstance(each, CheckConstraint)}
        for table in metadata.tables.values()
    }

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
        assert await connection.run_sync(checks) == named


async def test_both_engines_have_one_schema(sqlite_records_url: str) -> None:
    """The partial index that keeps one row active is there in SQLite, too."""
    database = Database.open(sqlite_records_url)
    async with database.read() as connection:
        found = await connection.execute(
            text("SELECT sql FROM sqlite_master WHERE name = 'uq_business_ai_credits_active'")
        )
        statement = found.scalar_one()
    await database.close()

    assert statement.startswith("CREATE UNIQUE INDEX")
    assert statement.endswith("WHERE is_active")


async def test_an_empty_database_is_outdated_until_it_is_upgraded(database_url: str) -> None:
    """`serve` refuses it and names the command that helps."""
    database = Database.open(database_url)

    with pytest.raises(SchemaOutdated, match="run `gateway db upgrade`"):
        await schema.check(database)
    await schema.upgrade(database)
    await schema.upgrade(database)

    await schema.check(database)
    await database.close()


async def test_two_upgrades_at_once_make_one_schema(database_url: str) -> None:
    """Two gateways are started together on a new database."""
    databases = [Database.open(database_url) for _ in range(3)]

    await asyncio.gather(*map(schema.upgrade, databases))

    await schema.check(databases[0])
    for database in databases:
        await database.close()


async def test_a_newer_database_is_not_touched(database: Database) -> None:
    """Yesterday's gateway must not write into tomorrow's tables."""
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(SchemaOutdated, match="made by a newer one"):
        await schema.check(database)


COPIES = """
from alembic import op
import sqlalchemy as sa

revision, down_revision = "9000", "{head}"


def upgrade():
    with op.batch_alter_table("ai_transactions", recreate="auto") as table:
        table.alter_column("model", type_=sa.String(200))
"""


async def test_a_table_that_a_view_reads_can_be_altered(
    sqlite_records_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has it copied meanwhile; the view is there before and after."""
    database = Database.open(sqlite_records_url)
    (tmp_path / "9000_copies.py").write_text(COPIES.format(head=schema._head()))
    config = schema._config()
    config.set_main_option("path_separator", "newline")
    versions = Path(schema.__file__).parent / "migrations" / "versions"
    config.set_main_option("version_locations", f"{versions}\n{tmp_path}")
    monkeypatch.setattr(schema, "_config", lambda: config)

    await schema.upgrade(database)

    async with database.read() as connection:
        assert (await connection.execute(text("SELECT * FROM v_ai_transactions"))).all() == []
        assert await connection.run_sync(schema.revision) == "9000"
    await database.close()


async def test_migrations_travel_in_the_package(tmp_path: Path) -> None:
    """Installed from a wheel there is no checkout and no current folder to find them in."""
    code = (
        "import asyncio; from storage import schema; from storage.database import Database\n"
        f"database = Database.open('sqlite+aiosqlite:///{tmp_path}/records.sqlite3')\n"
        "asyncio.run(schema.upgrade(database))\n"
    )
    root = Path(schema.__file__).parent.parent

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
