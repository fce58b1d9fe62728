"""`gateway top-up`: add credits to a business."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import changes, shown
from gateway.admin.forms import TopUp, filled
from gateway.cli import applying, output
from gateway.cli.options import AsJson, BusinessId, ConfigFile, DataDir
from gateway.cli.records import Where, operator, write


def app(
    business: BusinessId,
    credits: Annotated[str, typer.Argument(metavar="CREDITS", help="Such as 30 or 77.50.")],
    bonus: Annotated[
        str | None, typer.Option("--bonus-credits", "--bonus", help="Credits given on top.")
    ] = None,
    amount_paid: Annotated[str | None, typer.Option(help="Money paid: 30.00.")] = None,
    currency: Annotated[
        str | None, typer.Option(help="Of the money; the business's own by default.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--payment-reference",
            "--reference",
            help="Of the payment. Each is credited once: give it.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--payment-method",
            "--method",
            help="mobile_money, card, bank, admin_grant, free_trial, ….",
        ),
    ] = None,
    note: Annotated[str | None, typer.Option(help="For whoever reads the receipt.")] = None,
    user: Annotated[str | None, typer.Option(help="Who in the business bought.")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """
    Add credits to a business, with a receipt.

    A running gateway applies them in about a second, a stopped one at its next start.
    """
    given = {
        "credits": credits,
        "bonus_credits": bonus,
        "amount_paid": amount_paid,
        "currency": currency,
        "payment_reference": reference,
        "payment_method": method,
        "note": note,
        "user": user,
    }
    form = filled(TopUp, {key: value for key, value in given.items() if value is not None})

    async def work(connection: AsyncConnection) -> shown.Shown:
        purchase = await changes.top_up(connection, business, form, operator())
        balance = await applying.recorded(connection, purchase.business)
        return {"purchase": shown.purchase(purchase), **balance}

    added = write(Where(config, data_dir), work)
    if as_json:
        output.document(added)
        return
    purchase = added["purchase"]
    bonus_too = "" if purchase["bonus_credits"] == "0.00" else f" + {purchase['bonus_credits']}"
    output.line(
        f"added {purchase['credits_purchased']}{bonus_too} credits; {applying.said(added)} until "
        f"{added['expires_at'][:10]} (purchase {purchase['id']})"
    )


# So that `-1` is refused as an amount, in words, and not as an option nobody knows.
app.takes_negative_amounts = True  # type: ignore[attr-defined]
