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

TIERS = ("default", "flex", "priority", "ultrafast", "batch")

# Prices of OpenAI's tools are the same in every tier, so they are quoted under this name.
TOOLS = "tools"


class SourceUnreadable(Exception):
    """A price list cannot be read."""


@dataclass(frozen=True)
class Quote:
    """
    What one list says of one model.

    `prices` are USD per million by key: `default.input`, `long.flex.output`,
    `tools.web_searches`; `serves` are the families that it says the model serves.
    """

    source: str
    prices: Mapping[str, Decimal]
    limits: Mapping[str, int] = field(default_factory=dict)
    serves: tuple[str, ...] = ()


# Unit → the name of its price, and how many millions of the unit are priced by it.
_GENAI_UNITS = {
    "input": ("input_mtok", Decimal(1)),
    "cached_input": ("cache_read_mtok", Decimal(1)),
    "cache_write_30m": ("cache_write_mtok", Decimal(1)),
    "output": ("output_mtok", Decimal(1)),
    "audio_input": ("input_audio_mtok", Decimal(1)),
    "cached_audio_input": ("cache_audio_read_mtok", Decimal(1)),
    "audio_output": ("output_audio_mtok", Decimal(1)),
    "image_input": ("input_image_mtok", Decimal(1)),
    "cached_image_input": ("cache_image_read_mtok", Decimal(1)),
    "image_output": ("output_image_mtok", Decimal(1)),
    "audio_milliseconds": ("input_audio_hours", Decimal("3.6")),
    "characters": ("input_mchars", Decimal(1)),
}
_GENAI_TOOLS = {"web_searches": "web_searches_kcount", "file_searches": "storage_searches_kcount"}
# Unit → the name of its price, and how many of what is priced are a million of the unit.
_LITELLM_UNITS = {
    "input": ("input_cost_per_token", 1_000_000),
    "cached_input": ("cache_read_input_token_cost", 1_000_000),
    "cache_write_30m": ("cache_creation_input_token_cost", 1_000_000),
    "cache_write_12h": ("cache_creation_input_token_cost_above_12hr", 1_000_000),
    "output": ("output_cost_per_token", 1_000_000),
    "audio_input": ("input_cost_per_audio_token", 1_000_000),
    "cached_audio_input": ("cache_read_input_audio_token_cost", 1_000_000),
    "audio_output": ("output_cost_per_audio_token", 1_000_000),
    "image_input": ("input_cost_per_image_token", 1_000_000),
    "cached_image_input": ("cache_read_input_image_token_cost", 1_000_000),
    "image_output": ("output_cost_per_image_token", 1_000_000),
    "audio_milliseconds": ("input_cost_per_second", 1_000),
    "characters": ("input_cost_per_character", 1_000_000),
}

# What LiteLLM calls the kind of a model → the families that it serves.
_LITELLM_MODES = {
    "chat": ("chat", "responses"),
    "responses": ("responses",),
    "completion": ("completions",),
    "embedding": ("embeddings",),
    "image_generation": ("images",),
    "audio_speech": ("speech",),
    "audio_transcription": ("transcriptions",),
    "realtime": ("realtime",),
    "moderation": ("moderations",),
}
_LITELLM_PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
_LITELLM_PROVIDERS = ("openai", "text-completion-openai")


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
        for tier in TIERS:
            asked = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
            if tier == "default" or any(v.when == asked for v in found.price_variants or ()):
                prices |= _genai_row(tier, found.get_prices(self._at, asked))
        prices |= _genai_tools(found.get_prices(self._at, {}))
        context = {"context_window": found.context_window} if found.context_window else {}
        return Quote(self.name, prices, context)


def _genai_row(tier: str, row: Any) -> dict[str, Decimal]:
    prices: dict[str, Decimal] = {}
    for unit, (name, millions) in _GENAI_UNITS.items():
        price = getattr(row, name, None)
        if price is None:
            continue
        steps = getattr(price, "tiers", ())
        prices[f"{tier}.{unit}"] = (price.base if steps else price) / millions
        for step in steps:
            if step.start == LONG_PROMPT_OVER:
                prices[f"long.{tier}.{unit}"] = step.price / millions
    # A tier whose input has no long price is not offered for long prompts at all.
    if f"long.{tier}.input" not in prices:
        prices = {key: price for key, price in prices.items() if not key.startswith("long.")}
    return prices


def _genai_tools(row: Any) -> dict[str, Decimal]:
    prices = {unit: getattr(row, name, None) for unit, name in _GENAI_TOOLS.items()}
    return {f"{TOOLS}.{unit}": price * 1_000 for unit, price in prices.items() if price}


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
        if not isinstance(found, dict) or found.get("litellm_provider") not in _LITELLM_PROVIDERS:
            return None
        prices: dict[str, Decimal] = {}
        for tier in TIERS:
            suffix = {"default": "", "batch": "_batches"}.get(tier, f"_{tier}")
            for unit, (name, times) in _LITELLM_UNITS.items():
                for prefix, step in (("", ""), ("long.", "_above_272k_tokens")):
                    price = found.get(f"{name}{step}{suffix}")
                    if price is not None:
                        prices[f"{prefix}{tier}.{unit}"] = Decimal(price) * times
        search = found.get("search_context_cost_per_query", {}).get("search_context_size_medium")
        if search is not None:
            prices[f"{TOOLS}.web_searches"] = Decimal(search) * 1_000_000
        limits = {
            ours: found[theirs]
            for ours, theirs in (
                ("max_input", "max_input_tokens"),
                ("max_output", "max_output_tokens"),
            )
            if isinstance(found.get(theirs), int)
        }
        return Quote(self.name, prices, limits, _litellm_families(found))

    def chat_models(self) -> list[str]:
        """Every OpenAI model that it lists for chat completions."""
        return sorted(
            name
            for name, about in self._models.items()
            if isinstance(about, dict)
            and about.get("litellm_provider") == "openai"
            and "/v1/chat/completions" in about.get("supported_endpoints", ())
        )


def _litellm_families(found: Mapping[str, Any]) -> tuple[str, ...]:
    """What a model serves, by its kind; a list of its paths tells chat from responses."""
    families = _LITELLM_MODES.get(found.get("mode", ""), ())
    paths = found.get("supported_endpoints")
    if not paths or len(families) == 1:
        return families
    return tuple(family for family in families if _LITELLM_PATHS[family] in paths)
