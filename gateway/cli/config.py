"""`gateway config`: the settings."""

from __future__ import annotations

from dataclasses import asdict

import typer

from gateway.cli import output
from gateway.cli.options import AsJson, ConfigFile, DataDir
from gateway.cli.output import Column
from gateway.cli.records import settings_place
from gateway.settings import Settings, unused

app = typer.Typer(no_args_is_help=True)

COLUMNS = (Column("key", "key"), Column("value", "value"), Column("from", "source"))


@app.command()
def check(config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """
    Read the settings as `gateway serve` would, and name every problem.

    With --data-dir those of the commands for what `gateway dev` keeps there.
    """
    file, environ = settings_place(config, data_dir)
    settings = Settings.load(file, environ)
    if data_dir is None:
        settings.must_serve()

    from gateway.settings_tariff import tariff_of
    from metering.rates import RateCard

    tariff_of(settings).check(RateCard.load())
    for key in unused(settings):
        typer.echo(f"gateway: {key} is set, and nothing reads it in this version", err=True)
    output.line(f"{data_dir or file or 'the environment'} is fine")


@app.command()
def show(config: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Every setting as it counts, and where it was written; secrets stay hidden."""
    from gateway.settings_shown import effective

    sources = Settings.sources(*settings_place(config, data_dir))
    found = [asdict(each) for each in effective(Settings.of(sources), sources)]
    output.rows(found, COLUMNS, as_json=as_json)
