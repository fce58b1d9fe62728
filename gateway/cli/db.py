"""`gateway db`: the tables."""

from __future__ import annotations

import asyncio

import typer

from gateway.cli import output
from gateway.cli.options import ConfigFile, DataDir
from gateway.cli.records import Where, database_of
from gateway.settings import Settings
from storage import schema, usage_daily
from storage.database import Database

ROWS = 5000  # Counted in one transaction: a second or less, in which nobody else waits long.

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _noun() -> None:
    """A noun with one verb stays a noun."""


@app.command()
def upgrade(config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """
    Bring the tables up to date; each step all of it or nothing, and safe to run twice.

    On PostgreSQL gateways may go on meanwhile: a step that would wait for a table for longer
    than three seconds gives up and says so, and an index is made beside the calls.

    Calls of before are then counted for the daily figures, some thousand at a time; stopped
    half way, the next run or the gateway itself goes on with it.
    """
    asyncio.run(_upgrade(Where(config, data_dir).settings()))
    output.line("the tables are up to date")


async def _upgrade(settings: Settings) -> None:
    database = database_of(settings)
    try:
        await schema.upgrade(database)
        await schema.check(database)
        await _count_days(database)
    finally:
        await database.close()


async def _count_days(database: Database) -> None:
    total, counted = 0, ROWS
    while counted == ROWS:
        async with database.write() as connection:
            counted = await usage_daily.catch_up(connection, limit=ROWS)
        total += counted
        if total and counted:
            typer.echo(f"counted {total} calls for the daily figures", err=True)
