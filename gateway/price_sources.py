"""
What other price lists say: genai-prices, and a file in LiteLLM's format.

Neither is trusted by itself: each has been wrong, and each lags behind OpenAI. They are
turned into quotes, and `prices_update` compares them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Above this many input tokens OpenAI prices the whole call by the long-prompt row.
LONG_PROMPT_OVER = 272_000

TIERS = ("default", "flex", "priority", "ultrafast")


class SourceUnreadable(Exception):
    """A price list cannot be read."""


@dataclass(frozen=True)
class Quote:
    """
    What one list says of one model.

    `prices` are USD per million by key: `default.input`, `long.flex.output`.
    """

    source: str
    prices: Mapping[str, Decimal]
    limits: Mapping[str, int] = field(default_factory=dict)


_GENAI_UNITS = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write_30m": "cache_write_mtok",
    "output": "output_mtok",
}
_LITELLM_UNITS = {
    "input": "input_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_write_30m": "cache_creation_input_token_cost",
    "cache_write_12h": "cache_creation_input_token_cost_above_12hr",
    "output": "output_cost_per_token",
}


class GenaiPrices:
    """The package genai-prices, which is only installed for development."""

    def __init__(self, at: datetime) -> None:
        try:
            import genai_prices
            from genai_prices import data
        except ImportError as error:
            raise SourceUnreadable("genai-prices is not installed: pip install genai-prices") from (
                error
            )
        self.name = f"genai-prices {getattr(genai_prices, '__version__', '')}".strip()
        self._at = at
        self._openai = next(provider for provider in data.providers if provider.id == "openai")

    def quote(self, model: str) -> Quote | None:
        """What it says of a model, or None."""
        found = self._openai.find_model(model)
        if found is None or not found.is_match(model):
            return None
        prices: dict[str, Decimal] = {}
        offered = {"default", *(v.when.get("service_tier", "") for v in found.price_variants or ())}
        for tier in TIERS:
            if tier in offered:
                row = found.get_prices(self._at, {"service_tier": tier})
                prices |= _genai_row(tier, row)
        context = {"context_window": found.context_window} if found.context_window else {}
        return Quote(self.name, prices, context)


def _genai_row(tier: str, row: Any) -> dict[str, Decimal]:
    prices: dict[str, Decimal] = {}
    for unit, name in _GENAI_UNITS.items():
        price = getattr(row, name, None)
        if price is None:
            continue
        steps = getattr(price, "tiers", ())
        prices[f"{tier}.{unit}"] = price.base if steps else price
        for step in steps:
            if step.start == LONG_PROMPT_OVER:
                prices[f"long.{tier}.{unit}"] = step.price
    # A tier whose input has no long price is not offered for long prompts at all.
    if f"long.{tier}.input" not in prices:
        prices = {key: price for key, price in prices.items() if not key.startswith("long.")}
    return prices


def installed_litellm_file() -> Path | None:
    """The price file of an installed LiteLLM, which is not imported for it."""
    found = find_spec("litellm")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0])
    return path / "model_prices_and_context_window_backup.json"


class LiteLLMFile:
    """A file in the format of LiteLLM's `model_prices_and_context_window.json`."""

    def __init__(self, path: Path) -> None:
        try:
            self._models = json.loads(path.read_text("utf-8"), parse_float=Decimal)
        except (OSError, ValueError) as error:
            raise SourceUnreadable(f"{path} cannot be read: {error}") from error
        if not isinstance(self._models, dict):
            raise SourceUnreadable(f"{path} is not an object of models")
        self.name = path.name

    def quote(self, model: str) -> Quote | None:
        """What it says of a model, or None."""
        found = self._models.get(model)
        if not isinstance(found, dict) or found.get("litellm_provider") != "openai":
            return None
        prices: dict[str, Decimal] = {}
        for tier in TIERS:
            suffix = "" if tier == "default" else f"_{tier}"
            for unit, name in _LITELLM_UNITS.items():
                for prefix, step in (("", ""), ("long.", "_above_272k_tokens")):
                    price = found.get(f"{name}{step}{suffix}")
                    if price is not None:
                        prices[f"{prefix}{tier}.{unit}"] = Decimal(price) * 1_000_000
        limits = {
            ours: found[theirs]
            for ours, theirs in (
                ("max_input", "max_input_tokens"),
                ("max_output", "max_output_tokens"),
            )
            if isinstance(found.get(theirs), int)
        }
        return Quote(self.name, prices, limits)

    def chat_models(self) -> list[str]:
        """Every OpenAI model that it lists for chat completions."""
        return sorted(
            name
            for name, about in self._models.items()
            if isinstance(about, dict)
            and about.get("litellm_provider") == "openai"
            and "/v1/chat/completions" in about.get("supported_endpoints", ())
        )
