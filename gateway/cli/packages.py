"""`gateway package`: what businesses can buy."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from gateway.cli import output
from gateway.cli.options import AsJson, ConfigFile, DataDir
from gateway.cli.output import Column
from gateway.cli.records import Where
from gateway.settings_payments import packages_of

app = typer.Typer(no_args_is_help=True)

COLUMNS = (
    Column("name", "name"),
    Column("price", "price", is_amount=True),
    Column("to pay", "to_pay", is_amount=True),
    Column("", "currency"),
    Column("credits", "credits", is_amount=True),
    Column("bonus", "bonus_credits", is_amount=True),
    Column("taxes", "taxes"),
)


@app.callback()
def _noun() -> None:
    """A noun with one verb stays a noun."""


@app.command("list")
def list_all(config: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """What is sold today, with the taxes of today."""
    packages = packages_of(Where(config, data_dir).settings())
    shown = [offer.shown for offer in packages.offers(datetime.now(UTC))]
    if not as_json:
        for one in shown:
            one["taxes"] = ", ".join(f"{tax['name']} {tax['amount']}" for tax in one["taxes"])
    output.rows(shown, COLUMNS, as_json=as_json)
