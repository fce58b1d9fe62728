"""`gateway adjust`: correct a balance by hand."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import changes, shown
from gateway.admin.forms import Adjustment, filled
from gateway.cli import applying, output
from gateway.cli.options import AsJson, BusinessId, ConfigFile, DataDir
from gateway.cli.records import Where, operator, write


def app(
    business: BusinessId,
    credits: Annotated[str, typer.Argument(metavar="CREDITS", help="Signed: 2.50 or -2.50.")],
    reason: Annotated[str, typer.Option(help="Why; it stays in the books.")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """
    Correct a balance by hand.

    What is taken is taken by the running gateway: as much as is there, the rest is owed.
    """
    form = filled(Adjustment, {"credits": credits, "reason": reason})
    admin = operator()

    async def work(connection: AsyncConnection) -> shown.Shown:
        event = await changes.adjust(connection, business, form, admin)
        balance = await applying.recorded(connection, event.business)
        correction = shown.adjustment(event, reason=form.reason, at=admin.at)
        return {"adjustment": correction, **balance}

    made = write(Where(config, data_dir), work)
    if as_json:
        output.document(made)
        return
    change = made["adjustment"]["credits"]
    if not change.startswith("-"):
        output.line(f"added {change} credits; {applying.said(made)}")
        return
    already = "" if made["owed"] == "0.00" else f", and {made['owed']} are owed already"
    output.line(
        f"{change[1:]} credits will be taken; {made['balance']} are recorded until then"
        f"{already}; {made['available_after']} will be available and {made['owed_after']} owed"
    )


app.takes_negative_amounts = True  # type: ignore[attr-defined]
