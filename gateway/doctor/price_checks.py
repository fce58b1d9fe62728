"""Whether every model that was used lately, or that the settings name, has a price."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import func, select

from gateway.doctor.finding import Finding, ok, wrong
from gateway.plural import counted
from metering.errors import MeteringError, ModelNotPriced
from metering.rates import RateCard
from storage import prices
from storage.database import Database
from storage.tables import ai_transactions

LATELY = timedelta(days=30)


async def check_prices(
    database: Database, *, named: Iterable[str], refused: Iterable[str], now: datetime
) -> list[Finding]:
    """
    The rate card with the operator's prices, against the models in use.

    Args:
        named: Models in [features] and [models].
        refused: Models that the settings refuse; they need no price.
    """
    call = ai_transactions.c
    used = select(call.model, func.count()).where(call.timestamp >= now - LATELY)
    async with database.read() as connection:
        found = await connection.execute(used.group_by(call.model))
        calls: dict[str, int] = {row[0]: row[1] for row in found}
        rows = await prices.all(connection)
    try:
        card = RateCard.load().with_overrides(
            {"model": row.model, "valid_from": row.valid_from, "source": row.source, "row": row.row}
            for row in rows
        )
    except MeteringError as error:
        return [wrong("prices", str(error), "correct the row of model_prices that it names")]
    return prices_judged(card, calls, named=named, refused=refused, now=now)


def prices_judged(
    card: RateCard,
    calls: dict[str, int],
    *,
    named: Iterable[str],
    refused: Iterable[str],
    now: datetime,
) -> list[Finding]:
    """
    What has no price on a card.

    Args:
        calls: Model → how often it was called lately.
    """
    # A call that never reached a model is recorded without one.
    models = (set(calls) | set(named)) - set(refused) - {""}
    missing = [model for model in sorted(models) if not _is_priced(card, model, now)]
    if not missing:
        used = counted(len(models), "model", "models")
        return [ok("prices", f"{used} in use, all of them priced")]
    made = {model: counted(calls.get(model, 0), "call", "calls") for model in missing}
    return [
        wrong("prices", f"{model} has no price: {made[model]} in 30 days",
              f'gateway prices update, or refuse it: [models."{model}"] allowed = false')
        for model in missing
    ]  # fmt: skip


def _is_priced(card: RateCard, model: str, now: datetime) -> bool:
    try:
        card.rate(model, at=now)
    except ModelNotPriced:
        return False
    return True
