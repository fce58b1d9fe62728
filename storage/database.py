"""
The one door to SQL: SQLite for one host, PostgreSQL for more.

A read is one transaction that sees one moment; a write is one transaction that is on
disk when its block ends. What was written stays written: SQLite runs with
`synchronous = FULL`, PostgreSQL with `synchronous_commit = on`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import msgspec
from sqlalchemy import URL, Table, event, make_url
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import ArgumentError, DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from storage.errors import RecordsUnavailable

BUSY_TIMEOUT_MS = 10_000  # How long SQLite waits for a writer in another process.
CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 60  # No statement of ours comes near; a hung server must not hang us.

LOCK_TIMEOUT_S = 3  # So long does a change of the tables hold up the calls at the most.

_WRITES = "gateway_writes"  # The execution option that makes a SQLite BEGIN immediate.

# SQLSTATE classes and codes that say "not now" and not "not like this": connection,
# resources, operator, system; read-only after a failover; deadlock; lock not available.
_AWAY_CLASSES = ("08", "53", "57", "58")
_AWAY_CODES = ("25006", "40001", "40P01", "55P03")


class Database:
    """An engine with its pool. Open it once, in the event loop that uses it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = asyncio.Lock()

    @classmethod
    def open(cls, url: str) -> Self:
        """
        Make ready what connects to `url`; the first read or write connects.

        Args:
            url: `sqlite+aiosqlite:///path` or `postgresql+asyncpg://…`.

        Raises:
            ValueError: Neither of the two.
        """
        return cls(engine_for(url))

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @property
    def url(self) -> URL:
        """Where the records are; its text hides the password."""
        return self._engine.url

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """
        One transaction for reading; all it reads is of one moment.

        Raises:
            RecordsUnavailable: SQL is away.
        """
        async with self._connection() as connection:
            if self.dialect == "postgresql":
                await connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """
        One transaction for writing, committed when the block ends without an exception.

        Raises:
            RecordsUnavailable: SQL is away. When it went away at the commit, the
                transaction may be there all the same.
        """
        async with AsyncExitStack() as stack:
            if self.dialect == "sqlite":
                # SQLite has one writer; who waits here does not spin on its lock.
                await stack.enter_async_context(self._writer)
            connection = await stack.enter_async_context(self._connection())
            await connection.execution_options(**{_WRITES: True})
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def changing_tables(self) -> AsyncIterator[AsyncConnection]:
        """
        A connection for changes of the tables: on SQLite a transaction for writing.

        On PostgreSQL it is one of its own and in no transaction. Its statements may take as
        long as they need, an index over years of calls does; but they wait for a table
        LOCK_TIMEOUT_S at the most, because everybody else waits behind them.

        Raises:
            RecordsUnavailable: SQL is away, or a table is in use.
        """
        if self.dialect == "sqlite":
            async with self.write() as connection:
                yield connection
            return
        engine = engine_for(self.url, connect_args=_patient(self.url), poolclass=NullPool)
        try:
            async with self._connection(engine) as connection:
                yield connection
        except PendingRollbackError as error:
            # Alembic ends its transaction on a connection that is lost, and says only that.
            raise RecordsUnavailable("SQL went away while the tables were changed") from error

    @asynccontextmanager
    async def _connection(
        self, engine: AsyncEngine | None = None
    ) -> AsyncIterator[AsyncConnection]:
        try:
            async with (engine or self._engine).connect() as connection:
                yield connection
        except (OSError, PoolTimeout) as error:
            raise RecordsUnavailable(f"SQL cannot be reached: {error}") from error
        except DBAPIError as error:
            if not _is_away(error):
                raise
            raise RecordsUnavailable(f"SQL does not answer: {error.orig}") from error

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def engine_for(url: str | URL, **more: Any) -> AsyncEngine:
    """The engine with everything that our two databases need to be set."""
    parsed = _parsed(url)
    more.setdefault("pool_pre_ping", parsed.get_backend_name() == "postgresql")
    more.setdefault("connect_args", _connect_args(parsed))
    engine = create_async_engine(
        parsed,
        hide_parameters=True,  # An error text must never show what was in a row.
        json_serializer=_to_json,
        json_deserializer=msgspec.json.decode,
        **more,
    )
    if parsed.get_backend_name() == "sqlite":
        _make_private(parsed)
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        event.listen(engine.sync_engine, "invalidate", _let_go_of_sqlite)
    return engine


def insert_if_new(connection: AsyncConnection, table: Table) -> PostgresInsert | SqliteInsert:
    """INSERT … ON CONFLICT DO NOTHING, in the words of the connection's database."""
    if connection.dialect.name == "sqlite":
        return sqlite_insert(table).on_conflict_do_nothing()
    return postgres_insert(table).on_conflict_do_nothing()


def _parsed(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(f"sql.url is not understood; {_EXPECTED}") from None
    known = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    if parsed.drivername in known:
        parsed = parsed.set(drivername=known[parsed.drivername])
    if parsed.drivername not in known.values():
        raise ValueError(f"sql.url is for {parsed.drivername!r}; {_EXPECTED}")
    if parsed.drivername == "sqlite+aiosqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError(f"sql.url names no file, and records must outlive us; {_EXPECTED}")
    return parsed


_EXPECTED = "write sqlite+aiosqlite:///path/to/file or postgresql+asyncpg://user@host/name"


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _connect_args(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"timeout": BUSY_TIMEOUT_MS / 1000}
    return {
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": STATEMENT_TIMEOUT_S,
        "server_settings": {
            "application_name": "credit-gateway",
            "synchronous_commit": "on",
            "timezone": "UTC",
            # Our statements are short; compiling them costs more than running them.
            "jit": "off",
            # A plan that is kept was made when the table was small: it would read all of a
            # grown one for every batch. Planning anew costs a batch next to nothing.
            "plan_cache_mode": "force_custom_plan",
        },
    }


def _patient(url: URL) -> dict[str, Any]:
    arguments = _connect_args(url)
    limits = {"lock_timeout": f"{round(LOCK_TIMEOUT_S * 1000)}ms", "statement_timeout": "0"}
    settings = arguments["server_settings"] | limits
    return arguments | {"command_timeout": None, "server_settings": settings}


def _make_private(url: URL) -> None:
    """Create the file so that only its owner reads it; SQLite's side files follow it."""
    path = Path(url.database or "")
    if path.exists():
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise RecordsUnavailable(f"{path} cannot be created: {error.strerror}") from error


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # We say BEGIN ourselves: the driver would say it late and never immediate, and a read
    # that turns into a write half way fails at once instead of waiting its turn.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _let_go_of_sqlite(connection: Any, _record: Any, _error: Any) -> None:
    # A connection that was cancelled at work is closed without a rollback, and SQLite keeps
    # a closed one, with its lock on all writing, until Python frees its last cursor.
    with suppress(asyncio.CancelledError, DBAPIError, sqlite3.Error):
        connection.rollback()


def is_lock_timeout(error: RecordsUnavailable) -> bool:
    """Whether SQL is there, and somebody else has what was asked for."""
    cause = error.__cause__
    return isinstance(cause, DBAPIError) and getattr(cause.orig, "sqlstate", None) == "55P03"


def _is_away(error: DBAPIError) -> bool:
    cause: Any = error.orig
    if error.connection_invalidated:
        return True
    if isinstance(cause, sqlite3.DatabaseError):
        return _sqlite_is_away(cause)
    state = getattr(cause, "sqlstate", None) or ""
    return state.startswith(_AWAY_CLASSES) or state in _AWAY_CODES


def _sqlite_is_away(error: sqlite3.DatabaseError) -> bool:
    # Busy, locked, full, read-only, unreadable, corrupt, closed: all but a statement that
    # is wrong in itself (1), a broken constraint (19), a value that does not fit (18, 20,
    # 25), and misuse (21). A connection that was closed under us carries no code.
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return "closed" in str(error) or "no active connection" in str(error)
    return code & 0xFF not in (1, 18, 19, 20, 21, 25)
