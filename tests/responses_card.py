"""A rate card whose models serve responses and have prices for OpenAI's tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from metering.prices import ModelRow, Prices
from metering.rates import RateCard
from metering.usage import Unit

# Pico-dollars a use: $10, $2.50 and $30 for a thousand.
TOOLS: Prices = {
    Unit.WEB_SEARCHES: 10_000_000_000,
    Unit.FILE_SEARCHES: 2_500_000_000,
    Unit.CONTAINERS: 30_000_000_000,
}


def responses_card() -> RateCard:
    """The shipped card, each of its models also served by /v1/responses."""
    return RateCard(with_tools(row) for row in RateCard.load().models.values())


def with_tools(row: ModelRow, tools: Prices = TOOLS) -> ModelRow:
    """The row with these prices of tools, and no others."""
    return replace(
        row,
        serves=row.serves | {"responses"},
        tiers=_priced(row.tiers, tools),
        long_tiers=_priced(row.long_tiers, tools),
    )


def _priced(tiers: Mapping[str, Prices], tools: Prices) -> dict[str, Prices]:
    return {
        tier: {unit: price for unit, price in prices.items() if unit not in TOOLS} | dict(tools)
        for tier, prices in tiers.items()
    }
