"""Redis and SQL together, for the commands that look at both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.cli.records import database_of
from gateway.dev.embedded import find_running
from gateway.settings import Settings, SettingsWrong
from storage import schema
from storage.database import Database
from storage.errors import LedgerUnavailable
from storage.scripts import connect

ANSWER_WITHIN_S = 10.0  # A command has more time than a call, and asks for more at once.


@asynccontextmanager
async def stores(settings: Settings) -> AsyncIterator[tuple[Database, Any]]:
    """
    The records and a client of Redis, until the block ends.

    Raises:
        LedgerUnavailable: The Valkey of our own does not run: it lives as long as its gateway.
        SettingsWrong: Nothing says where Redis is.
        SchemaOutdated: The tables are older or newer than this code.
    """
    redis = connect(await redis_url(settings), answer_within_s=ANSWER_WITHIN_S)
    database = database_of(settings)
    try:
        await schema.check(database)
        yield database, redis
    finally:
        await database.close()
        await redis.aclose()


async def redis_url(settings: Settings) -> str:
    """
    Where Redis is, an embedded one included.

    Raises: As `stores`.
    """
    if settings.redis.url is not None and not settings.redis.embedded:
        return settings.redis.url.get_secret_value()
    folder = embedded_folder(settings)
    if folder is None:
        raise SettingsWrong(
            ["redis.url → is not set; it names the ledger, such as redis://127.0.0.1:6379/0"]
        )
    url = await find_running(folder)
    if url is None:
        raise LedgerUnavailable(
            f"the embedded store of {folder} does not run: it lives as long as its gateway; "
            "start that, and try again"
        )
    return url


def embedded_folder(settings: Settings) -> Path | None:
    """Where a Valkey of our own has its files: beside the SQLite file, as at its start."""
    file = sqlite_file(settings)
    if file is not None:
        return file.parent
    return Path.cwd() if settings.redis.embedded else None


def sqlite_file(settings: Settings) -> Path | None:
    """The file of the records; None where they are in PostgreSQL."""
    if settings.sql.url is None or not settings.sql.sqlite:
        return None
    return Path(settings.sql.url.get_secret_value().partition("///")[2]).absolute()
