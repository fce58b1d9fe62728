"""`gateway config`: the settings."""

from __future__ import annotations

import os

import typer

from gateway.cli import output
from gateway.cli.options import ConfigFile
from gateway.cli.records import default_config
from gateway.settings import Settings

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _noun() -> None:
    """A noun with one verb stays a noun."""


@app.command()
def check(config: ConfigFile = None) -> None:
    """Read the settings as `gateway serve` would, and name every problem."""
    file = config or default_config()
    settings = Settings.load(file, os.environ)
    settings.must_serve()

    from gateway.parts import tariff_of
    from metering.rates import RateCard

    tariff_of(settings).check(RateCard.load())
    output.line(f"{file or 'the environment'} is fine")
