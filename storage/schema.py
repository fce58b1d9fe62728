"""Brings the tables up to date, or says that they are not."""

from __future__ import annotations

import asyncio
from functools import cache

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import (
    tables_alerts,  # noqa: F401  (Its tables join those of tables.py, and so do the next.)
    tables_jobs,  # noqa: F401
    tables_payments,  # noqa: F401
)
from storage.database import LOCK_TIMEOUT_S, Database, is_lock_timeout
from storage.errors import RecordsUnavailable, SchemaOutdated

ASK_AGAIN_S = 0.2
_LOCK = 7_310_579_283  # Any number, as long as nobody else's advisory lock has it.


async def upgrade(database: Database) -> None:
    """
    Run the migrations that are missing, while gateways run.

    SQLite runs all or none. PostgreSQL runs each for itself, and an index of a large table
    outside of any transaction; what was interrupted goes on when this is run again. Two
    processes that start at once do it one after the other.

    Raises:
        RecordsUnavailable: SQL is away, or a table is in use for too long.
    """
    try:
        async with database.changing_tables() as connection:
            await _alone(connection)
            await connection.run_sync(_upgrade)
    except RecordsUnavailable as error:
        if not is_lock_timeout(error):
            raise
        raise RecordsUnavailable(
            f"a table is in use: another session has kept it locked for {LOCK_TIMEOUT_S} seconds, "
            "and whoever waits for it longer holds up the calls. Nothing is half done; run "
            "`gateway db upgrade` again when that session has ended (pg_stat_activity lists it)"
        ) from error


async def _alone(connection: AsyncConnection) -> None:
    """
    Wait for other upgrades; on SQLite its write lock is taken already.

    By asking again and again: who waits inside PostgreSQL has a snapshot, for which the
    other one's index would wait in turn.
    """
    if connection.dialect.name != "postgresql":
        return
    while not await connection.scalar(text(f"SELECT pg_try_advisory_lock({_LOCK})")):
        await connection.rollback()
        await asyncio.sleep(ASK_AGAIN_S)
    await connection.rollback()


async def check(database: Database) -> None:
    """
    Make sure that the tables are those this code knows.

    Raises:
        SchemaOutdated: They are older or newer; it says which, and what helps.
        RecordsUnavailable: SQL is away.
    """
    async with database.read() as connection:
        found = await connection.run_sync(revision)
    if found == _head():
        return
    if found is None or found in _known():
        raise SchemaOutdated(
            f"the tables at {database.url} are at {found or 'nothing'} and this version needs "
            f"{_head()}; run `gateway db upgrade`"
        )
    raise SchemaOutdated(
        f"the tables at {database.url} are at {found}, which this version does not know; "
        "they were made by a newer one, so run that"
    )


def revision(connection: Connection) -> str | None:
    """The migration that the tables are at; None when there is none."""
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection, to: str = "head") -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    return config


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _head() -> str:
    head = _scripts().get_current_head()
    assert head is not None, "the package carries its migrations"
    return head


def _known() -> set[str]:
    return {script.revision for script in _scripts().walk_revisions()}
