"""Engines that can be killed, and how much is killed: a little in each run, more when asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests import engines
from tests.engine import Engine
from tests.faults.site import Site, open_site
from tests.laws.conftest import SETTINGS


@dataclass(frozen=True)
class Scale:
    """How often something is killed, and in the middle of how many calls."""

    rounds: int
    calls: int


@pytest.fixture(scope="session")
def scale(pytestconfig: pytest.Config) -> Scale:
    """One round of 100 calls; five of 300 with `pytest -m faults`."""
    asked_for = pytestconfig.option.markexpr == "faults"
    return Scale(rounds=5, calls=300) if asked_for else Scale(rounds=1, calls=100)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for sockets."""
    with TemporaryDirectory(prefix="faults-") as name:
        yield Path(name)


@pytest.fixture
def durable_valkey(folder: Path) -> Iterator[Engine]:
    """A Valkey of this test's own, which syncs every write and may be killed."""
    engine = engines.start_valkey(folder / "valkey")
    yield engine
    engine.kill()


@pytest.fixture
def durable_redis(folder: Path) -> Iterator[Engine]:
    """The same with Redis 7.0."""
    engine = engines.start_redis(folder / "redis")
    yield engine
    engine.kill()


@pytest.fixture(params=["durable_valkey+sqlite", "durable_redis+postgres"])
async def site(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Site]:
    """A site on each engine: the test runs twice."""
    redis, sql = request.param.split("+")
    engine: Engine = request.getfixturevalue(redis)
    records_url: str = request.getfixturevalue(f"{sql}_records_url")
    async with open_site(folder, engine, records_url, **SETTINGS) as opened:
        yield opened


@pytest.fixture
async def one_site(
    durable_valkey: Engine, sqlite_records_url: str, folder: Path
) -> AsyncIterator[Site]:
    """A site on Valkey and SQLite, for what does not depend on the engines."""
    async with open_site(folder, durable_valkey, sqlite_records_url, **SETTINGS) as opened:
        yield opened


@pytest.fixture
async def site_of_two(
    durable_redis: Engine, postgres_records_url: str, folder: Path
) -> AsyncIterator[Site]:
    """A site on Redis and PostgreSQL, which more than one gateway may share."""
    async with open_site(folder, durable_redis, postgres_records_url, **SETTINGS) as opened:
        yield opened
