"""Where a command finds the records, and its one transaction on them."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin.changes import Admin
from gateway.cli.exits import CommandRefused
from gateway.settings import Settings, SettingsWrong
from storage import schema
from storage.database import Database

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]
Fetch = Callable[[AsyncConnection, int, str | None], Awaitable[list[Any]]]

DATA_DIR = Path("~/.local/share/gateway")
PAGE = 200


@dataclass(frozen=True, slots=True)
class Where:
    """Which gateway a command is about."""

    config: Path | None
    data_dir: Path | None

    def settings(self) -> Settings:
        """
        Its settings: a named file or directory, else what is there.

        Raises:
            BadParameter: Two places are named.
            SettingsWrong: They are not as they must be, or name no records.
            CommandRefused: The directory has none.
        """
        if self.config is not None and self.data_dir is not None:
            raise typer.BadParameter("give --config or --data-dir, not both")
        if self.data_dir is not None:
            return _settings_in(self.data_dir)
        file = self.config or default_config()
        if file is None and "GATEWAY__SQL__URL" not in os.environ:
            return _settings_in(DATA_DIR)
        settings = Settings.load(file, os.environ)
        if settings.sql.url is None:
            raise SettingsWrong(
                [f"{file} → sql.url is not set; it names the records, such as "
                 "postgresql+asyncpg://gateway@127.0.0.1/gateway"]
            )  # fmt: skip
        return settings


def default_config() -> Path | None:
    """The settings file that is meant when none is named: $GATEWAY_CONFIG, ./config.toml."""
    named = os.environ.get("GATEWAY_CONFIG")
    if named:
        return Path(named)
    here = Path("config.toml")
    return here if here.exists() else None


def settings_place(
    config: Path | None, data_dir: Path | None
) -> tuple[Path | None, Mapping[str, str]]:
    """
    The settings file that is meant, and the environment that goes before it.

    Raises:
        BadParameter: Two places are named.
        CommandRefused: The data directory has no records.
    """
    if config is not None and data_dir is not None:
        raise typer.BadParameter("give --config or --data-dir, not both")
    if data_dir is not None:
        return None, _environ_in(data_dir)
    return config or default_config(), os.environ


def _settings_in(data_dir: Path) -> Settings:
    return Settings.load(None, _environ_in(data_dir))


def _environ_in(data_dir: Path) -> dict[str, str]:
    records = data_dir.expanduser().absolute() / "gateway.db"
    if not records.exists():
        raise CommandRefused(
            f"there are no records in {records.parent}; name your settings with --config, or "
            "the directory of `gateway dev` with --data-dir"
        )
    url = {"GATEWAY__SQL__URL": f"sqlite+aiosqlite:///{records}"}
    return {**os.environ, **url}


def read(where: Where, work: Work[T]) -> T:
    """
    Do something in one transaction that reads.

    Raises:
        SchemaOutdated: The tables are older or newer than this code.
        RecordsUnavailable: SQL does not answer.
    """
    return asyncio.run(_in_transaction(where.settings(), work, writes=False))


def write(where: Where, work: Work[T]) -> T:
    """
    Do something in one transaction that writes; it is on disk when this returns.

    Raises: As `read`.
    """
    return asyncio.run(_in_transaction(where.settings(), work, writes=True))


async def _in_transaction(settings: Settings, work: Work[T], *, writes: bool) -> T:
    database = database_of(settings)
    try:
        await schema.check(database)
        async with database.write() if writes else database.read() as connection:
            return await work(connection)
    finally:
        await database.close()


def database_of(settings: Settings) -> Database:
    """The records that settings name."""
    assert settings.sql.url is not None, "the settings were checked to name the records"
    return Database.open(settings.sql.url.get_secret_value())


async def all_rows(
    connection: AsyncConnection, fetch: Fetch, limit: int | None, after: str | None = None
) -> list[Any]:
    """Every row of a list, page after page, or the first `limit`; of those after an id."""
    rows: list[Any] = []
    while limit is None or len(rows) < limit:
        wanted = PAGE if limit is None else min(PAGE, limit - len(rows))
        page = await fetch(connection, wanted, rows[-1].id if rows else after)
        rows += page
        if len(page) < wanted:
            break
    return rows


def operator() -> Admin:
    """Who types, for the audit log, and when."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = f"uid {os.getuid()}"  # A container need not have a name for its user.
    return Admin(who=f"command:{name[:150]}", at=datetime.now(UTC))
