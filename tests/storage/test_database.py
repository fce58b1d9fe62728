"""The door to SQL: durable, one writer, one moment, and honest when SQL is away."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from storage import partition_rows
from storage.database import Database
from storage.errors import RecordsUnavailable
from tests.engine import Engine

pytestmark = pytest.mark.anyio

COUNT = text("SELECT highest_counter FROM ledger_partitions WHERE partition = 0")
RAISE = text("UPDATE ledger_partitions SET highest_counter = highest_counter + 1")


async def test_a_write_is_rolled_back_by_an_exception(database: Database) -> None:
    """All of a transaction or nothing of it."""

    async def write() -> None:
        async with database.write() as connection:
            await partition_rows.ensure(connection)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await write()

    async with database.read() as connection:
        assert await partition_rows.read(connection) == []


async def test_a_read_sees_one_moment(database: Database) -> None:
    """A snapshot of two tables must not be torn by a commit in between."""
    async with database.write() as connection:
        await partition_rows.ensure(connection)

    async with database.read() as reader:
        before = await reader.scalar(COUNT)
        async with database.write() as writer:
            await writer.execute(RAISE)
        during = await reader.scalar(COUNT)
    async with database.read() as reader:
        after = await reader.scalar(COUNT)

    assert (before, during, after) == (0, 0, 1)


async def test_writes_wait_for_each_other(database: Database) -> None:
    """A read inside a write is of the latest, so nothing is lost between the two."""
    async with database.write() as connection:
        await partition_rows.ensure(connection)

    async def raise_one() -> None:
        async with database.write() as connection:
            rows = await partition_rows.lock(connection, [0])
            await asyncio.sleep(0)
            await partition_rows.raise_counters(connection, {0: rows[0].highest_counter + 1})

    await asyncio.gather(*(raise_one() for _ in range(20)))

    async with database.read() as connection:
        assert await connection.scalar(COUNT) == 20


async def test_a_cancelled_write_leaves_nothing_and_nobody_waiting(database: Database) -> None:
    """A caller may leave at any moment."""
    async with database.write() as connection:
        await partition_rows.ensure(connection)
    inside = asyncio.Event()

    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(RAISE)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await inside.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    async with database.write() as connection:
        await connection.execute(RAISE)
        assert await connection.scalar(COUNT) == 1


async def test_a_write_may_be_cancelled_at_any_point(database: Database) -> None:
    """The next one goes on from what was committed."""
    async with database.write() as connection:
        await partition_rows.ensure(connection)

    for moment in range(40):
        await cancelled_after(moment / 10_000, database)

    async with database.write() as connection:
        await partition_rows.raise_counters(connection, {1: 2})


async def test_a_cancelled_write_gives_sqlites_lock_back(
    sqlite_records_url: str, no_garbage_collection: None
) -> None:
    """SQLite keeps a connection that was closed at work, lock and all, while a cursor lives."""
    database = Database.open(sqlite_records_url)
    async with database.write() as connection:
        await partition_rows.ensure(connection)

    for moment in range(40):
        await cancelled_after(moment / 10_000, database)
        with sqlite3.connect(str(database.url.database), timeout=5) as other:
            other.execute("BEGIN IMMEDIATE")
        other.close()
    await database.close()


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """So that nothing is let go by chance."""
    gc.disable()
    yield
    gc.enable()


async def cancelled_after(seconds: float, database: Database) -> None:
    """Write on and on, until cancelled at some moment."""

    async def write_on() -> None:
        while True:
            async with database.write() as connection:
                await partition_rows.lock(connection, [1, 2])
                await partition_rows.raise_counters(connection, {1: 1})

    task = asyncio.create_task(write_on())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_a_mistake_of_ours_is_not_called_an_absence(database: Database) -> None:
    """Nobody should wait for a table that is not there, or for a broken constraint."""
    with pytest.raises(DBAPIError):
        async with database.write() as connection:
            await connection.execute(text("SELECT * FROM not_a_table"))
    async with database.write() as connection:
        await partition_rows.ensure(connection)
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO ledger_partitions VALUES (0, 1, 0, 'x')"))


async def test_an_error_never_shows_what_was_in_a_row(database: Database) -> None:
    """Error texts end in logs."""
    with pytest.raises(DBAPIError) as raised:
        async with database.write() as connection:
            await connection.execute(text("SELECT * FROM nowhere WHERE x = :x"), {"x": "secret"})

    assert "secret" not in str(raised.value)


async def test_sqlite_is_durable_and_private(sqlite_url: str, tmp_path: Path) -> None:
    """What was committed survives a power cut, and other users of the host read nothing."""
    database = Database.open(sqlite_url)
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE t (a int)"))
        settings = [
            (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
        modes = {stat.S_IMODE(os.stat(file).st_mode) for file in tmp_path.iterdir()}
    await database.close()

    assert settings == ["wal", 2, 1]
    assert modes == {0o600}


async def test_sqlite_that_another_process_writes_to_is_waited_for(sqlite_url: str) -> None:
    """A top-up on the command line does not fail because the recorder is at work."""
    ours, theirs = Database.open(sqlite_url), Database.open(sqlite_url)
    async with ours.write() as connection:
        await connection.execute(text("CREATE TABLE t (a int)"))
    begun = asyncio.Event()

    async def hold() -> None:
        async with ours.write() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
            begun.set()
            await asyncio.sleep(0.05)

    holding = asyncio.create_task(hold())
    await begun.wait()
    async with theirs.write() as connection:
        count = await connection.scalar(text("SELECT count(*) FROM t"))
    await holding
    await ours.close()
    await theirs.close()

    assert count == 1


async def test_a_file_that_is_no_database_is_an_absence(tmp_path: Path) -> None:
    """A damaged disk must not look like a mistake in a statement."""
    path = tmp_path / "records.sqlite3"
    path.write_bytes(b"this was never a database" * 100)
    database = Database.open(f"sqlite+aiosqlite:///{path}")

    with pytest.raises(RecordsUnavailable, match="not a database"):
        async with database.read():
            pass
    await database.close()


async def test_a_folder_that_cannot_be_made_is_an_absence(tmp_path: Path) -> None:
    """A disk that is not mounted."""
    (tmp_path / "file").touch()

    with pytest.raises(RecordsUnavailable, match="cannot be created"):
        Database.open(f"sqlite+aiosqlite:///{tmp_path}/file/records.sqlite3")


async def test_a_postgres_that_is_not_there_is_an_absence(tmp_path: Path) -> None:
    """Nothing listens at that socket."""
    database = Database.open(f"postgresql+asyncpg://postgres@/nothing?host={tmp_path}")

    with pytest.raises(RecordsUnavailable, match="cannot be reached"):
        async with database.read():
            pass
    await database.close()


async def test_a_postgres_that_ends_a_connection_is_an_absence(postgres_records_url: str) -> None:
    """As at a restart: this transaction fails, and the next one connects anew."""
    database = Database.open(postgres_records_url)
    other = Database.open(postgres_records_url)

    async def write() -> None:
        async with database.write() as connection:
            pid = await connection.scalar(text("SELECT pg_backend_pid()"))
            async with other.write() as killer:
                await killer.execute(text(f"SELECT pg_terminate_backend({pid})"))
            await connection.execute(text("SELECT 1"))

    with pytest.raises(RecordsUnavailable):
        await write()

    async with database.write() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1
    await database.close()
    await other.close()


async def test_postgres_commits_are_durable(postgres_records_url: str) -> None:
    """Whatever the server's own default is."""
    database = Database.open(postgres_records_url)

    async with database.write() as connection:
        setting = await connection.scalar(text("SHOW synchronous_commit"))
    await database.close()

    assert setting == "on"


@pytest.mark.parametrize(
    "url", ["mysql://root@localhost/x", "sqlite+aiosqlite://", "sqlite:///:memory:", "records.db"]
)
def test_a_url_that_is_not_for_us_says_what_is(url: str) -> None:
    """An operator reads this at the first start."""
    with pytest.raises(ValueError, match="write sqlite\\+aiosqlite:///path"):
        Database.open(url)


def test_a_password_is_not_shown(postgres_engine: Engine) -> None:
    """The URL is logged."""
    database = Database.open("postgresql://gateway:hunter2@db/records")

    assert "hunter2" not in str(database.url)
