"""`gateway db`: the tables."""

from __future__ import annotations

import asyncio

import typer

from gateway.cli import output
from gateway.cli.options import ConfigFile, DataDir
from gateway.cli.records import Where, database_of
from gateway.settings import Settings
from storage import schema

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _noun() -> None:
    """A noun with one verb stays a noun."""


@app.command()
def upgrade(config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Bring the tables up to date; all of it or nothing, and safe to run twice."""
    asyncio.run(_upgrade(Where(config, data_dir).settings()))
    output.line("the tables are up to date")


async def _upgrade(settings: Settings) -> None:
    database = database_of(settings)
    try:
        await schema.upgrade(database)
        await schema.check(database)
    finally:
        await database.close()
