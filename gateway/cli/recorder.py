"""`gateway recorder`: calls into SQL and credits into Redis, in a process of its own."""

from __future__ import annotations

import os

from gateway.cli.options import ConfigFile
from gateway.cli.records import default_config


def app(config: ConfigFile = None) -> None:
    """
    Write finished calls to SQL and bring credits to Redis, and serve nobody.

    Set recorder.in_workers = false for the gateways then. SIGTERM empties the outbox and ends.
    """
    from gateway.settings import Settings

    settings = Settings.load(config or default_config(), os.environ)
    settings.must_record()

    from gateway.server import record

    record(settings)
