"""Options that many commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The settings; $GATEWAY_CONFIG or ./config.toml by default.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="The data directory of `gateway dev`; ~/.local/share/gateway where there is no "
        "settings file.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document a line.")]
BusinessId = Annotated[str, typer.Argument(metavar="BUSINESS", help="The id of a business.")]
Limit = Annotated[
    int | None, typer.Option(min=1, max=1_000_000, help="At most so many, the newest first.")
]
After = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Only what comes after this one in the list: its next page."),
]
