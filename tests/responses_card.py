"""Rows of the rate card with other prices of OpenAI's tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from metering.families import TOOL_UNITS
from metering.prices import ModelRow, Prices


def with_tools(row: ModelRow, tools: Prices) -> ModelRow:
    """The row with these prices of tools, and no others."""
    tiers, long_tiers = _priced(row.tiers, tools), _priced(row.long_tiers, tools)
    return replace(row, tiers=tiers, long_tiers=long_tiers)


def _priced(tiers: Mapping[str, Prices], tools: Prices) -> dict[str, Prices]:
    return {
        tier: {unit: price for unit, price in prices.items() if unit not in TOOL_UNITS}
        | dict(tools)
        for tier, prices in tiers.items()
    }
