"""`gateway transaction`: calls that were made."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import shown
from gateway.cli import output
from gateway.cli.options import After, AsJson, BusinessId, ConfigFile, DataDir, Limit
from gateway.cli.output import Column
from gateway.cli.records import Where, all_rows, read
from storage import businesses, transactions
from storage.transactions import Transaction

app = typer.Typer(no_args_is_help=True)

COLUMNS = (
    Column("id", "id"),
    Column("at", "timestamp"),
    Column("feature", "feature"),
    Column("model", "model"),
    Column("credits", "credits_used", is_amount=True),
    Column("tokens", "tokens_used", is_amount=True),
    Column("ms", "processing_time_ms", is_amount=True),
    Column("outcome", "outcome"),
    Column("success", "success"),
)


@app.command("list")
def list_all(
    business: BusinessId,
    limit: Limit = 100,
    after: After = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Recorded calls of a business, the newest first."""

    async def work(connection: AsyncConnection) -> list[shown.Shown]:
        caller = await businesses.get(connection, business)

        async def page(
            connection: AsyncConnection, limit: int, after: str | None
        ) -> list[Transaction]:
            return await transactions.page(connection, caller.id, limit=limit, after=after)

        return [shown.transaction(one) for one in await all_rows(connection, page, limit, after)]

    output.rows(read(Where(config, data_dir), work), COLUMNS, as_json=as_json, limit=limit)


@app.command()
def show(
    transaction: Annotated[str, typer.Argument(metavar="TRANSACTION", help="The id of a call.")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """One recorded call, with its usage and its price."""

    async def work(connection: AsyncConnection) -> shown.Shown:
        return shown.transaction(await transactions.get(connection, transaction))

    output.one(read(Where(config, data_dir), work), as_json=as_json)
