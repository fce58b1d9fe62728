"""Brings the tables up to date, or says that they are not."""

from __future__ import annotations

from functools import cache

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from storage.database import Database
from storage.errors import SchemaOutdated

_LOCK = 7_310_579_283  # Any number, as long as nobody else's advisory lock has it.


async def upgrade(database: Database) -> None:
    """
    Run the migrations that are missing, all or none.

    Two processes that start at once do it one after the other.

    Raises:
        RecordsUnavailable: SQL is away.
    """
    async with database.write() as connection:
        await connection.run_sync(_upgrade)


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


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # SQLite's write lock is taken already; here a second upgrade waits for the first.
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


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
