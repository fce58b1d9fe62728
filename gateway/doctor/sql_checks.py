"""Whether SQL keeps what it commits, is of our schema, and can be written."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.doctor.finding import Finding, ok, unsure, wrong
from gateway.plural import counted
from storage import proof_waiting, schema
from storage.database import Database
from storage.errors import RecordsUnavailable, SchemaOutdated
from storage.tables import businesses

POSTGRES_MAINTAINED = 15  # As of November 2026; older ones get no corrections.


async def check_sql(database: Database) -> list[Finding]:
    """Everything about the records; the schema only where they answer."""
    try:
        async with database.read() as connection:
            kept = _sqlite(connection) if database.dialect == "sqlite" else _postgres(connection)
            found = [finding async for finding in kept]
    except RecordsUnavailable as error:
        return [wrong("sql", f"SQL does not answer: {str(error)[:200]}",
                      "start it, or correct sql.url")]  # fmt: skip
    except DBAPIError as error:
        # A wrong password, a database that is not there, a file that is none.
        return [wrong("sql", f"SQL does not let us in: {str(error.orig)[:200]}",
                      "correct sql.url, or make the role and the database")]  # fmt: skip
    return [ok("sql", "SQL answers"), *found, *await _schema(database)]


async def _schema(database: Database) -> list[Finding]:
    try:
        await schema.check(database)
    except SchemaOutdated as error:
        newer = "a newer one" in str(error)
        fix = "run the newer version" if newer else "gateway db upgrade"
        return [wrong("sql.schema", str(error).partition(";")[0], fix)]
    async with database.read() as connection:
        letters = await proof_waiting.count_buried(connection)
        known = (await connection.execute(select(func.count()).select_from(businesses))).scalar()
    whom = counted(known or 0, "business", "businesses")
    found = [ok("sql.schema", f"the tables are up to date; {whom}")]
    if letters:
        buried = counted(letters, "entry", "entries")
        found.append(
            unsure("sql.dead_letters", f"{buried} of the outbox could not be recorded",
                   "SELECT * FROM dead_letters says why; gateway ledger verify counts them")
        )  # fmt: skip
    return found


async def _sqlite(connection: AsyncConnection) -> AsyncIterator[Finding]:
    version = (await connection.execute(text("SELECT sqlite_version()"))).scalar_one()
    yield ok("sql.version", f"SQLite {version}")
    mode = (await connection.execute(text("PRAGMA journal_mode"))).scalar_one()
    level = (await connection.execute(text("PRAGMA synchronous"))).scalar_one()
    if (mode, level) == ("wal", 2):
        yield ok("sql.durability", "journal_mode is wal, synchronous is FULL")
        return
    yield wrong("sql.durability", f"journal_mode is {mode}, synchronous is {level}",
                "keep the file on a local disk, where WAL works")  # fmt: skip


async def _postgres(connection: AsyncConnection) -> AsyncIterator[Finding]:
    number = int(await _shown(connection, "server_version_num")) // 10_000
    version = await _shown(connection, "server_version")
    if number < POSTGRES_MAINTAINED:
        yield unsure("sql.version", f"PostgreSQL {version} is no longer maintained",
                     "upgrade; the tests run on PostgreSQL 18")  # fmt: skip
    else:
        yield ok("sql.version", f"PostgreSQL {version}")
    if (await connection.execute(text("SELECT pg_is_in_recovery()"))).scalar_one():
        yield wrong("sql.primary", "this PostgreSQL is a standby and cannot be written",
                    "let sql.url name the primary")  # fmt: skip
    for setting in ("synchronous_commit", "fsync", "full_page_writes"):
        found = await _shown(connection, setting)
        weak = found in ("off", "local") if setting == "synchronous_commit" else found != "on"
        if weak:
            yield wrong("sql.durability", f"{setting} is {found}: what is committed can be lost",
                        f"set {setting} = on in postgresql.conf")  # fmt: skip
            return
    yield ok("sql.durability", "synchronous_commit and fsync are on")


async def _shown(connection: AsyncConnection, setting: str) -> str:
    return str((await connection.execute(text(f"SHOW {setting}"))).scalar_one())
