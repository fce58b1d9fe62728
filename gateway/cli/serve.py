"""`gateway serve`: the gateway in production."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gateway.cli.options import ConfigFile
from gateway.cli.records import default_config


def app(
    config: ConfigFile = None,
    workers: Annotated[int | None, typer.Option(help="Processes; server.workers.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; server.port.")] = None,
) -> None:
    """Serve businesses, on a Redis and an SQL of your own; SIGTERM settles what runs and ends."""
    from gateway.settings import Settings

    file = config or default_config()
    options = {"WORKERS": workers, "PORT": port}
    given = {
        f"GATEWAY__SERVER__{key}": str(value) for key, value in options.items() if value is not None
    }
    settings = Settings.load(file, {**os.environ, **given})
    settings.must_serve()

    from gateway.server import serve

    serve(settings, workers=settings.server.workers, config_path=file)
