"""The shipped card against genai-prices, which is kept by others and knows nothing of ours."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

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

# genai-prices has no long-prompt price for these; the card takes the dearer reading, and
# says so in the row's `decided` or has it from the other list.
NO_LONG_PRICE = {"gpt-6-cyber", "gpt-5.6-cyber"}

PROMPTS = [(1_000, 700, 200, 500), (272_000, 0, 0, 1), (272_001, 100_000, 50_000, 9_999)]


def oracle(model: str, tier: str, usage: tuple[int, int, int, int]) -> Fraction | None:
    """USD by genai-prices, or None when it does not offer the tier."""
    found = OPENAI.find_model(model)
    assert found is not None
    offered = {variant.when.get("service_tier") for variant in found.price_variants or ()}
    if tier != "default" and tier not in offered:
        return None
    prices = found.get_prices(AT, {"service_tier": tier})
    prompt, cached, written, output = usage
    if getattr(prices, "cache_write_mtok", None) is None:
        written = 0
    counted = OracleUsage(
        input_tokens=prompt,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=output,
    )
    return Fraction(prices.calc_price(counted)["total_price"])


@pytest.mark.parametrize("row", CARD.models.values(), ids=lambda row: row.id)
@pytest.mark.parametrize("usage", PROMPTS)
def test_cost_is_that_of_genai_prices(row: ModelRow, usage: tuple[int, int, int, int]) -> None:
    """To the last digit, in every tier it offers, short and long."""
    prompt, cached, written, output = usage
    if row.id in NO_LONG_PRICE and prompt > 272_000:
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
        theirs = oracle(row.id, tier, usage)
        # Without a long price of its own a tier takes the dearer of two (prices.py).
        own = tier in row.long_tiers or not row.long_tiers or prompt <= row.long_over

        if theirs is not None and own:
            assert Fraction(rate.cost(ours).pico, PICO) == theirs, (row.id, tier)


def test_only_the_models_that_are_explained_have_another_long_price() -> None:
    """A new difference needs a word of explanation here."""
    assert {row.id for row in CARD.models.values() if row.decided} == {"gpt-6-cyber"}
    assert all(CARD.find(model).long_tiers for model in NO_LONG_PRICE)
