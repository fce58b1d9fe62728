"""What every test may ask for: real engines, and fresh databases on them."""

from __future__ import annotations

from tests import alias  # noqa: F401  (It must come before anything loads httpx.)

# isort: split
import asyncio
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from storage import schema
from storage.database import Database
from tests import engines, postgres
from tests.engine import Engine, EngineMissing

REQUIRED = frozenset(filter(None, os.environ.get("GATEWAY_REQUIRE", "").split(",")))
"""Engines without which the run is an error; the others are skipped when missing."""


def pytest_report_header() -> str:
    """One line of versions at the head of the run."""
    return "engines: " + ", ".join(_version(engine) for engine in engines.PROGRAMS)


def _version(engine: str) -> str:
    try:
        return engines.version(engine)
    except EngineMissing as error:
        if engine in REQUIRED:
            raise pytest.UsageError(f"GATEWAY_REQUIRE names {engine}: {error}") from error
        return f"no {error}"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as the gateway does."""
    return "asyncio"


# Engines: started when the first test asks, ended with the run.


@pytest.fixture(scope="session")
def engines_dir() -> Iterator[Path]:
    """Where the engines of this run live: a short path, for their sockets."""
    with tempfile.TemporaryDirectory(prefix="engines-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL may have to be another user than we are.
        yield Path(folder)


def _engine(start: Callable[[], Engine]) -> Iterator[Engine]:
    try:
        engine = start()
    except EngineMissing as error:
        if REQUIRED:
            raise
        pytest.skip(str(error))
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def valkey_engine(engines_dir: Path) -> Iterator[Engine]:
    """Valkey 9. Nothing is synced: tests that kill it start their own."""
    yield from _engine(lambda: engines.start_valkey(engines_dir / "valkey", *IN_MEMORY))


@pytest.fixture(scope="session")
def redis7_engine(engines_dir: Path) -> Iterator[Engine]:
    """Debian's Redis 7.0, likewise."""
    yield from _engine(lambda: engines.start_redis(engines_dir / "redis", *IN_MEMORY))


@pytest.fixture(scope="session")
def postgres_engine(engines_dir: Path) -> Iterator[Engine]:
    """PostgreSQL 18."""
    yield from _engine(lambda: engines.start_postgres(engines_dir / "postgres"))


IN_MEMORY = ("--appendonly", "no")


# Redis


@pytest.fixture(scope="session", params=["valkey", "redis"])
def redis_engine(request: pytest.FixtureRequest) -> Engine:
    """Each test that asks runs twice: on Valkey 9 and on Redis 7.0."""
    name = {"valkey": "valkey_engine", "redis": "redis7_engine"}[request.param]
    engine: Engine = request.getfixturevalue(name)
    return engine


@pytest.fixture
def redis_url(redis_engine: Engine) -> str:
    """The URL of an empty Redis or Valkey."""
    with BlockingRedis.from_url(redis_engine.url) as client:
        client.flushall()
        client.script_flush()
        client.config_resetstat()
    return redis_engine.url


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[Redis]:
    """A client of that empty Redis, which does not retry."""
    async with Redis.from_url(redis_url, retry=Retry(NoBackoff(), 0)) as client:
        yield client


# SQL: `…_url` is an empty database; `records_url` and `database` have our schema.


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An SQLite file that is not there yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'records.sqlite3'}"


@pytest.fixture
def postgres_url(postgres_engine: Engine) -> Iterator[str]:
    """An empty PostgreSQL database of this test's own."""
    name = postgres.make_database(postgres_engine)
    yield postgres.database_url(postgres_engine.socket_dir, name)
    postgres.drop_database(postgres_engine, name)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Each test that asks runs twice: on an empty SQLite and an empty PostgreSQL."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with our schema, to be copied."""
    path = tmp_path_factory.mktemp("template") / "records.sqlite3"
    _upgrade(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_engine: Engine) -> str:
    """The name of a PostgreSQL database with our schema, to be copied."""
    name = postgres.make_database(postgres_engine)
    _upgrade(postgres.database_url(postgres_engine.socket_dir, name))
    return name


@pytest.fixture
def sqlite_records_url(sqlite_url: str, sqlite_template: Path) -> str:
    """An SQLite file with our schema and no rows."""
    copy = urlsplit(sqlite_url).path[1:]
    with sqlite3.connect(sqlite_template) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    return sqlite_url


@pytest.fixture
def postgres_records_url(postgres_engine: Engine, postgres_template: str) -> Iterator[str]:
    """A PostgreSQL database with our schema and no rows."""
    name = postgres.make_database(postgres_engine, template=postgres_template)
    yield postgres.database_url(postgres_engine.socket_dir, name)
    postgres.drop_database(postgres_engine, name)


@pytest.fixture(params=["sqlite", "postgres"])
def records_url(request: pytest.FixtureRequest) -> str:
    """Each test that asks runs twice: on SQLite and on PostgreSQL, with our schema."""
    url: str = request.getfixturevalue(f"{request.param}_records_url")
    return url


@pytest.fixture
async def database(records_url: str) -> AsyncIterator[Database]:
    """An open database with our schema and no rows; twice, as `records_url`."""
    opened = Database.open(records_url)
    yield opened
    await opened.close()


def _upgrade(url: str) -> None:
    async def upgrade() -> None:
        database = Database.open(url)
        await schema.upgrade(database)
        await database.close()

    # In a thread: a session fixture may be asked for while a test's event loop runs.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, upgrade()).result()
