"""`gateway purchase`: receipts of what was added."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import payment_changes, shown
from gateway.admin.forms import filled
from gateway.admin.payment_forms import Refunding
from gateway.cli import output
from gateway.cli.options import After, AsJson, ConfigFile, DataDir, Limit
from gateway.cli.output import Column
from gateway.cli.records import Where, all_rows, operator, read
from gateway.cli.selling import settling
from storage import businesses, purchases, refunds
from storage.purchases import Purchase

app = typer.Typer(no_args_is_help=True)

COLUMNS = (
    Column("id", "id"),
    Column("completed", "completed_at"),
    Column("credits", "credits_purchased", is_amount=True),
    Column("bonus", "bonus_credits", is_amount=True),
    Column("paid", "amount_paid", is_amount=True),
    Column("", "currency"),
    Column("by", "payment_method"),
    Column("reference", "payment_reference"),
    Column("status", "payment_status"),
)


@app.command("list")
def list_all(
    business: Annotated[
        str | None, typer.Argument(metavar="[BUSINESS]", help="Whose; everybody's if not given.")
    ] = None,
    limit: Limit = None,
    after: After = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Receipts, the newest first."""

    async def work(connection: AsyncConnection) -> list[shown.Shown]:
        buyer = await businesses.get(connection, business) if business is not None else None

        async def page(
            connection: AsyncConnection, limit: int, after: str | None
        ) -> list[Purchase]:
            id = buyer.id if buyer else None
            return await purchases.page(connection, id, limit=limit, after=after)

        return [shown.purchase(one) for one in await all_rows(connection, page, limit, after)]

    output.rows(read(Where(config, data_dir), work), COLUMNS, as_json=as_json, limit=limit)


@app.command()
def show(
    purchase: Annotated[str, typer.Argument(metavar="PURCHASE", help="The id of a receipt.")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """One receipt."""

    async def work(connection: AsyncConnection) -> shown.Shown:
        return shown.purchase(await purchases.get(connection, purchase))

    output.one(read(Where(config, data_dir), work), as_json=as_json)


@app.command()
def refund(
    purchase: Annotated[str, typer.Argument(metavar="PURCHASE", help="The id of a receipt.")],
    reason: Annotated[str, typer.Option(help="Why; it stays in the books.")],
    amount: Annotated[
        str | None, typer.Option(help="Money to send back: 10.00; all that is left by default.")
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """
    Send money back; the credits are taken back once it has gone.

    What was spent already is owed, and blocks new calls until it is paid. Nothing is sent for
    what an admin granted: only its credits are taken back.
    """
    given = {"reason": reason} | ({} if amount is None else {"amount": amount})
    form = filled(Refunding, given)
    output.one(asyncio.run(_refund(Where(config, data_dir), purchase, form)), as_json=as_json)


async def _refund(where: Where, purchase: str, form: Refunding) -> shown.Shown:
    async with settling(where, must_sell=False) as payments:
        async with payments.database.write() as connection:
            begun = await payment_changes.begin_refund(connection, purchase, form, operator())
        await payments.refund(begun.id)
        async with payments.database.read() as connection:
            bought = await purchases.get(connection, begun.purchase)
            return shown.refund(await refunds.get(connection, begun.id), bought.currency)
