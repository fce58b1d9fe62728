"""The payment provider of the settings, for commands that ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from gateway.cli.exits import CommandRefused
from gateway.cli.records import Where, database_of
from gateway.payments.settling import Settling
from gateway.settings_payments import provider_of
from storage import schema


async def _nowhere(business: str) -> None:
    """A running gateway brings credits to Redis within a second, a stopped one at its start."""


@asynccontextmanager
async def settling(where: Where, *, must_sell: bool = True) -> AsyncIterator[Settling]:
    """
    What a gateway does with payments, on the records alone, until the block ends.

    Raises:
        CommandRefused: `must_sell`, and nobody is paid here.
        SchemaOutdated: The tables are older or newer than this code.
    """
    settings = where.settings()
    provider = provider_of(settings)
    if must_sell and provider is None:
        raise CommandRefused(
            "paystack.secret_key is not set here, so Paystack cannot be asked; "
            "set GATEWAY__PAYSTACK__SECRET_KEY, or name the settings with --config"
        )
    database = database_of(settings)
    try:
        await schema.check(database)
        yield Settling(database, provider, apply=_nowhere, clock=lambda: datetime.now(UTC))
    finally:
        await database.close()
        if provider is not None:
            await provider.close()
