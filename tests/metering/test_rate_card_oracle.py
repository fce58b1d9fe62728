"""The shipped card against genai-prices, which is kept by others and knows nothing of ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatch
from fractions import Fraction
from typing import Any

import pytest
from genai_prices import Usage as OracleUsage
from genai_prices import data

from metering.money import PICO
from metering.prices import ModelRow
from metering.rates import RateCard
from metering.usage import Unit, Usage

CARD = RateCard.load()
OPENAI = next(provider for provider in data.providers if provider.id == "openai")

# The day on which both were compared; later prices are for `gateway prices update`.
AT = datetime(2026, 11, 22, tzinfo=UTC)
LONG = 272_000

# Our unit → the oracle's price, and how many millions of the unit that price is for.
NAMES = {
    Unit.INPUT: ("input_mtok", Fraction(1)),
    Unit.CACHED_INPUT: ("cache_read_mtok", Fraction(1)),
    Unit.CACHE_WRITE_30M: ("cache_write_mtok", Fraction(1)),
    Unit.OUTPUT: ("output_mtok", Fraction(1)),
    Unit.AUDIO_INPUT: ("input_audio_mtok", Fraction(1)),
    Unit.CACHED_AUDIO_INPUT: ("cache_audio_read_mtok", Fraction(1)),
    Unit.AUDIO_OUTPUT: ("output_audio_mtok", Fraction(1)),
    Unit.IMAGE_INPUT: ("input_image_mtok", Fraction(1)),
    Unit.CACHED_IMAGE_INPUT: ("cache_image_read_mtok", Fraction(1)),
    Unit.IMAGE_OUTPUT: ("output_image_mtok", Fraction(1)),
    Unit.AUDIO_MILLISECONDS: ("input_audio_hours", Fraction(36, 10)),
    Unit.CHARACTERS: ("input_mchars", Fraction(1)),
    Unit.WEB_SEARCHES: ("web_searches_kcount", Fraction(1, 1000)),
    Unit.FILE_SEARCHES: ("storage_searches_kcount", Fraction(1, 1000)),
}

# The oracle calls an image's or speech's tokens plain output where nothing else comes out.
ONLY_OUTPUT = {"images": Unit.IMAGE_OUTPUT, "speech": Unit.AUDIO_OUTPUT}

# Where the oracle has no price of its own we take that of the unit on the right: no cache
# price means that reading and writing cost as much as plain input.
FOLLOWS = {
    Unit.CACHED_INPUT: Unit.INPUT,
    Unit.CACHE_WRITE_30M: Unit.INPUT,
    Unit.CACHED_AUDIO_INPUT: Unit.AUDIO_INPUT,
    Unit.CACHED_IMAGE_INPUT: Unit.IMAGE_INPUT,
}

WEB_SEARCH = "dearer: a use does not tell web_search (10000) from its preview (25000)"
NO_AUDIO = "the oracle has no audio price of the previews; LiteLLM has"
NO_LONG = "the oracle has no long price; the rule of gpt-6 is LiteLLM's, or the dearer reading"
NO_TIER = "the oracle does not offer the tier; LiteLLM has its prices"

# (model, pattern of prices) → why they are not the oracle's.
EXPLAINED = {
    ("babbage-002", "batch.*"): NO_TIER,
    ("davinci-002", "batch.*"): NO_TIER,
    ("text-embedding-3-large", "batch.*"): NO_TIER,
    ("text-embedding-3-small", "batch.*"): NO_TIER,
    ("gpt-6-astra", "*ultrafast.*"): NO_TIER,
    ("gpt-6.1-sol", "*ultrafast.*"): NO_TIER,
    ("gpt-5.5-pro", "long.batch.*"): NO_LONG,
    ("gpt-5.6-cyber", "long.default.*"): NO_LONG,
    ("gpt-6-cyber", "long.default.*"): NO_LONG,
    ("gpt-4o-audio-preview-2025-06-03", "default.*audio*"): NO_AUDIO,
    ("gpt-4o-mini-audio-preview-2024-12-17", "default.*audio*"): NO_AUDIO,
    ("gpt-4.1", "*.web_searches"): WEB_SEARCH,
    ("gpt-4.1-mini", "*.web_searches"): WEB_SEARCH,
    ("gpt-4o", "*.web_searches"): WEB_SEARCH,
    ("gpt-4o-mini", "*.web_searches"): WEB_SEARCH,
}

# What the oracle says of the tools with nearly every model; it does not price containers.
TOOLS = {Unit.WEB_SEARCHES: 10_000 * 10**6, Unit.FILE_SEARCHES: 2_500 * 10**6}


def priced(row: ModelRow) -> Iterator[tuple[str, dict[Unit, int]]]:
    """Each tier of a row, those for a long prompt under `long.`, in pico-dollars a unit."""
    for prefix, tiers in (("", row.tiers), ("long.", row.long_tiers)):
        for tier, prices in tiers.items():
            yield f"{prefix}{tier}", dict(prices)


def oracle_row(row: ModelRow, tier: str) -> Any:
    """The oracle's prices of a tier, or None when it does not offer it."""
    found = OPENAI.find_model(row.id)
    assert found is not None, f"the oracle does not know {row.id}"
    when = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
    if tier != "default" and all(each.when != when for each in found.price_variants or ()):
        return None
    return found.get_prices(AT, when)


def oracle_price(row: ModelRow, tier: str, unit: Unit) -> Fraction | None:
    """Pico-dollars a unit by the oracle; None when it has no such price."""
    prices = oracle_row(row, tier.removeprefix("long."))
    if prices is None:
        return None
    name, millions = NAMES[unit]
    price = getattr(prices, name, None)
    if price is None and {unit} == {ONLY_OUTPUT.get(family) for family in row.serves}:
        price = getattr(prices, "output_mtok", None)
    if price is None:
        return None
    steps = getattr(price, "tiers", ())
    if tier.startswith("long.") and name.endswith("mtok"):
        price = next((step.price for step in steps if step.start == LONG), None)
    else:
        price = price.base if steps else price
    return None if price is None else Fraction(price) * 10**6 / millions


def expected_price(row: ModelRow, tier: str, unit: Unit) -> Fraction | None:
    """What the oracle has, or what follows from it by the rules in the head of the card."""
    if unit is Unit.CACHE_WRITE_12H:
        written = oracle_price(row, tier, Unit.CACHE_WRITE_30M)
        return oracle_price(row, tier, Unit.INPUT) if written is None else written * 2
    price = oracle_price(row, tier, unit)
    if price is None and unit in FOLLOWS:
        return oracle_price(row, tier, FOLLOWS[unit])
    return Fraction(TOOLS[unit]) if price is None and unit in TOOLS else price


def differences(row: ModelRow) -> list[str]:
    """The prices of a row that are not the ones the oracle gives."""
    return [
        f"{tier}.{unit}"
        for tier, prices in priced(row)
        for unit, ours in prices.items()
        if unit is not Unit.CONTAINERS and ours != expected_price(row, tier, unit)
    ]


@pytest.mark.parametrize("row", CARD.models.values(), ids=lambda row: row.id)
def test_every_price_is_that_of_the_oracle_or_explained(row: ModelRow) -> None:
    """In every tier, short and long; a new difference needs a word of explanation here."""
    found = differences(row)
    patterns = [pattern for model, pattern in EXPLAINED if model == row.id]

    assert [each for each in found if not any(fnmatch(each, p) for p in patterns)] == []
    assert [p for p in patterns if not any(fnmatch(each, p) for each in found)] == []


def test_every_explanation_is_of_a_model_on_the_card() -> None:
    """What was explained and is gone is taken out."""
    assert {model for model, _ in EXPLAINED} <= CARD.models.keys()


def test_prices_on_which_the_lists_disagree_are_decided_on_the_card() -> None:
    """A row says why; another one that was decided needs a word here."""
    assert {row.id for row in CARD.models.values() if row.decided} == {
        "gpt-6-cyber",
        "gpt-4.1",
        "gpt-4.1-mini",
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-4o-transcribe",
        "gpt-4o-transcribe-diarize",
        "gpt-4o-mini-transcribe",
    }


def test_containers_cost_the_same_with_every_model() -> None:
    """The oracle does not price them: 0.03 dollars a session is LiteLLM's openai/container."""
    found = {
        tier[Unit.CONTAINERS]
        for row in CARD.models.values()
        for tier in (*row.tiers.values(), *row.long_tiers.values())
        if Unit.CONTAINERS in tier
    }

    assert found == {30_000 * 10**6}


# Prompt, cached, written for 30 minutes, output; the oracle's own sum, not only its prices.
PROMPTS = [(1_000, 700, 200, 500), (272_000, 0, 0, 1), (272_001, 100_000, 50_000, 9_999)]
TEXT = [row for row in CARD.models.values() if row.serves & {"chat", "responses"}]


@pytest.mark.parametrize("row", TEXT, ids=lambda row: row.id)
@pytest.mark.parametrize("usage", PROMPTS)
def test_cost_is_that_of_genai_prices(row: ModelRow, usage: tuple[int, int, int, int]) -> None:
    """To the last digit, in every tier it offers, short and long."""
    prompt, cached, written, output = usage
    if prompt > LONG and (row.id, "long.default.*") in EXPLAINED:
        return
    ours = Usage(
        {
            Unit.INPUT: prompt - cached - written,
            Unit.CACHED_INPUT: cached,
            Unit.CACHE_WRITE_30M: written,
            Unit.OUTPUT: output,
        }
    )
    for tier, rate in row.rates.items():
        prices = oracle_row(row, tier)
        # Without a long price of its own a tier takes the dearer of two (prices.py).
        own = tier in row.long_tiers or not row.long_tiers or prompt <= row.long_over
        explained = prompt > LONG and (row.id, f"long.{tier}.*") in EXPLAINED
        if prices is not None and own and not explained:
            theirs = Fraction(prices.calc_price(oracle_usage(prices, usage))["total_price"])
            assert Fraction(rate.cost(ours).pico, PICO) == theirs, (row.id, tier)


def oracle_usage(prices: Any, usage: tuple[int, int, int, int]) -> OracleUsage:
    """The usage without the parts that the oracle has no price for: it takes them as input."""
    prompt, cached, written, output = usage
    parts = {"cache_read": cached, "cache_write": written}
    kept = {
        f"{part}_tokens": count
        for part, count in parts.items()
        if getattr(prices, f"{part}_mtok", None) is not None
    }
    return OracleUsage(input_tokens=prompt, output_tokens=output, **kept)
