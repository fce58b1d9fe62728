"""`gateway alert`: warnings that were raised."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import alert_changes, changes, shown
from gateway.admin.forms import Acknowledgement, filled
from gateway.cli import output
from gateway.cli.options import After, AsJson, ConfigFile, DataDir, Limit
from gateway.cli.output import Column
from gateway.cli.records import Where, all_rows, operator, read, write
from storage import alerts, businesses
from storage.alerts import Alert

app = typer.Typer(no_args_is_help=True)

COLUMNS = (
    Column("id", "id"),
    Column("business", "business_id"),
    Column("raised", "sent_at"),
    Column("what", "alert_type"),
    Column("balance", "current_balance", is_amount=True),
    Column("threshold", "threshold", is_amount=True),
    Column("told", "told"),
    Column("seen by", "acknowledged_by"),
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
    """Warnings, the newest first."""

    async def work(connection: AsyncConnection) -> list[shown.Shown]:
        owner = await businesses.get(connection, business) if business is not None else None

        async def page(connection: AsyncConnection, limit: int, after: str | None) -> list[Alert]:
            id = owner.id if owner else None
            return await alerts.page(connection, id, limit=limit, after=after)

        rows = await alert_changes.told(connection, await all_rows(connection, page, limit, after))
        return [row | {"told": _told(row)} for row in rows] if not as_json else rows

    output.rows(read(Where(config, data_dir), work), COLUMNS, as_json=as_json, limit=limit)


@app.command()
def ack(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="The id of an alert.")],
    by: Annotated[str | None, typer.Option(help="Who has seen it; you by default.")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Note that somebody has seen an alert; who was first stays."""
    form = filled(Acknowledgement, {"by": by})

    async def work(connection: AsyncConnection) -> shown.Shown:
        return shown.alert(await changes.acknowledge(connection, alert, form, operator()))

    seen = write(Where(config, data_dir), work)
    if as_json:
        output.document(seen)
    else:
        output.line(f"{seen['alert_type']} was seen by {seen['acknowledged_by']}")


@app.command("send-again")
def send_again(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="The id of an alert.")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Send an alert once more, through every channel that is set up; the gateway sends it."""
    where = Where(config, data_dir)
    channels = where.settings().alerts.channels

    async def work(connection: AsyncConnection) -> shown.Shown:
        return await alert_changes.send_again(connection, alert, channels, operator())

    row = write(where, work)
    if as_json:
        output.document(row)
    else:
        output.line(f"{row['alert_type']} will be sent again: {', '.join(channels)}")


def _told(row: shown.Shown) -> str:
    return ", ".join(f"{each['channel']} {each['state']}" for each in row["deliveries"])
