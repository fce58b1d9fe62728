"""`gateway dev`: everything on this machine, nothing to set up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.exits import CommandRefused
from gateway.cli.records import DATA_DIR


def app(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="TCP port; 8080 by default.")
    ] = None,
    data_dir: Annotated[
        str, typer.Option(metavar="DIR", help="Where its state is kept between starts.")
    ] = str(DATA_DIR),
) -> None:
    """Try it: an embedded Valkey, SQLite, a stub OpenAI without a key, and a demo business."""
    from gateway.dev.start import start

    if not data_dir.strip():
        raise CommandRefused("--data-dir is empty; name a directory, or leave it out")
    start(port=port, data_dir=Path(data_dir).expanduser())
