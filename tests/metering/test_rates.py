"""The rate card: found by name and day, priced to the last digit, never zero."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import ModelNotPriced, RateCardWrong, UnitNotPriced
from metering.meters.chat_completions import ChatCompletions
from metering.money import PICO
from metering.prices import Rate
from metering.rates import RateCard
from metering.usage import INPUT_TOKENS, Unit, Usage

CARD = RateCard.load()
CHAT_UNITS = (
    Unit.INPUT,
    Unit.CACHED_INPUT,
    Unit.CACHE_WRITE_30M,
    Unit.CACHE_WRITE_12H,
    Unit.OUTPUT,
)
TEXT = [row for row in CARD.models.values() if row.serves & {"chat", "responses"}]
RATES = [rate for row in TEXT for rate in row.rates.values()]

rates = st.sampled_from(RATES)
usages = st.builds(Usage, st.dictionaries(st.sampled_from(CHAT_UNITS), st.integers(0, 600_000)))


@given(rates, usages)
def test_cost_is_the_exact_sum_of_units_times_prices(rate: Rate, usage: Usage) -> None:
    """No component is rounded; above 272,000 input tokens the whole call is a long one."""
    long = sum(usage[unit] for unit in INPUT_TOKENS) > rate.long_over
    prices = rate.long if long else rate.short
    exact = sum(Fraction(prices[unit], PICO) * usage[unit] for unit in usage)

    assert Fraction(rate.cost(usage).pico, PICO) == exact


@given(rates, usages, st.integers(0, 300_000), st.integers(0, 20_000))
def test_ceiling_covers_whatever_the_input_turns_out_to_be(
    rate: Rate, usage: Usage, more_input: int, more_output: int
) -> None:
    """Cached, written or plain: no call within a ceiling costs more than it."""
    ceiling = Usage(
        {
            Unit.INPUT: usage.input_tokens + more_input,
            Unit.OUTPUT: usage[Unit.OUTPUT] + more_output,
        }
    )

    assert rate.cost(usage) <= rate.ceiling_cost(ceiling)


@given(rates, usages)
def test_stored_usage_and_version_give_the_same_cost_again(rate: Rate, usage: Usage) -> None:
    """A transaction of last year can be explained to the last digit."""
    again = CARD.rate_of(rate.version)

    assert again.cost(Usage.from_names(usage.as_names())) == rate.cost(usage)
    assert len(rate.version) <= 64


def test_long_prompt_row_begins_above_its_limit() -> None:
    """272,000 tokens are short; one more prices all of them, and the output, as long."""
    rate = CARD.rate("gpt-6-sol")

    assert rate.cost(Usage({Unit.INPUT: 272_000, Unit.OUTPUT: 1})).pico == 272_000 * 2e6 + 10e6
    assert rate.cost(Usage({Unit.INPUT: 272_001, Unit.OUTPUT: 1})).pico == 272_001 * 4e6 + 15e6


def test_explicit_zero_costs_nothing() -> None:
    """Nothing used is a usage, not a missing one."""
    assert CARD.rate("gpt-6-luna").cost(Usage()).pico == 0


def test_unit_without_a_price_is_refused() -> None:
    """An unknown price is never zero."""
    with pytest.raises(UnitNotPriced, match="audio_input of the model gpt-6-luna"):
        CARD.rate("gpt-6-luna").cost(Usage({Unit.AUDIO_INPUT: 1}))
    with pytest.raises(UnitNotPriced):
        CARD.rate("gpt-6-luna").ceiling_cost(Usage({Unit.AUDIO_INPUT: 1}))
    assert not CARD.rate("gpt-6-luna").prices(Unit.AUDIO_INPUT)


@pytest.mark.parametrize("name", ["gpt-5.6", "gpt-5.6-sol"])
def test_alias_and_id_are_one_row(name: str) -> None:
    """OpenAI serves gpt-5.6 as gpt-5.6-sol."""
    assert CARD.find(name).id == "gpt-5.6-sol"


@pytest.mark.parametrize(
    "name",
    ["", "gpt-6-lunar", "GPT-6-LUNA", "gpt-6.2-sol", "gpt-4", "gpt-3.5-turbo", "o1", "o4-mini",
     "ft:gpt-4.1-2025-04-14:acme::x", "gpt-6-luna-2026-99-99", "gpt-image-2.6-flare",
     "computer-use-preview"],
)  # fmt: skip
def test_model_that_is_not_listed_is_refused(name: str) -> None:
    """Neither a guess nor a prefix finds a price; what was shut down is gone."""
    with pytest.raises(ModelNotPriced):
        CARD.find(name)


def test_every_current_model_is_on_the_card() -> None:
    """The list of the design, without what has no published price."""
    assert {row.id for row in CARD.models.values() if "chat" in row.serves} == set(CHAT.split())
    assert {row.id for row in TEXT} == {*CHAT.split(), *RESPONSES_ONLY.split()}
    assert CARD.models.keys() - {row.id for row in TEXT} == set(OTHERS.split())


CHAT = (
    "gpt-6-astra gpt-6-sol gpt-6-luna gpt-6.1-sol gpt-6.1-terra gpt-6-cyber gpt-6-rosalind "
    "gpt-5.6-sol gpt-5.6-terra gpt-5.6-luna gpt-5.6-cyber gpt-5.5 gpt-5.4 gpt-5.4-mini "
    "gpt-5.4-nano gpt-5.2 gpt-5.1 gpt-5 gpt-5-mini gpt-5-nano chat-latest gpt-4.1 gpt-4.1-mini "
    "gpt-4o gpt-4o-mini o3 gpt-audio-1.5 gpt-audio gpt-audio-mini "
    "gpt-4o-audio-preview-2025-06-03 gpt-4o-mini-audio-preview-2024-12-17"
)
RESPONSES_ONLY = "gpt-5.5-pro gpt-5.4-pro gpt-5.3-codex gpt-5.2-pro gpt-5-pro o3-pro"
OTHERS = (
    "gpt-realtime-2.1 gpt-realtime-2.1-mini gpt-realtime-2 gpt-realtime-1.5 gpt-realtime "
    "gpt-realtime-mini gpt-4o-mini-realtime-preview-2024-12-17 gpt-image-2.5-sunburst "
    "gpt-image-2.5-flare gpt-image-2 gpt-image-1.5 chatgpt-image-latest gpt-image-1-mini "
    "gpt-image-1 gpt-transcribe gpt-4o-transcribe gpt-4o-transcribe-diarize "
    "gpt-4o-mini-transcribe whisper-1 gpt-4o-mini-tts tts-1 tts-1-hd text-embedding-3-small "
    "text-embedding-3-large text-embedding-ada-002 gpt-3.5-turbo-instruct davinci-002 "
    "babbage-002 omni-moderation-latest"
)


def test_every_unit_of_a_chat_reply_has_a_price_in_every_tier() -> None:
    """A usage that the chat meter reads can always be charged."""
    everything = Usage(dict.fromkeys(CHAT_UNITS, 1))

    for rate in RATES:
        assert rate.cost(everything).pico > 0
    assert all(ChatCompletions.family in CARD.find(model).serves for model in CHAT.split())


def test_fast_is_another_name_of_priority() -> None:
    """OpenAI takes both and answers priority."""
    assert CARD.rate("gpt-6-sol", tier="fast") == CARD.rate("gpt-6-sol", tier="priority")


def test_tier_that_the_model_does_not_have_is_refused() -> None:
    """A tier without a price is not the default tier."""
    with pytest.raises(ModelNotPriced, match="service tier flex"):
        CARD.rate("gpt-4o", tier="flex")


def test_long_prompt_in_a_tier_without_a_long_price_takes_the_dearer_one() -> None:
    """OpenAI publishes no long price for gpt-5.4 in the priority tier."""
    rate = CARD.rate("gpt-5.4", tier="priority")

    assert rate.output_picodollars(long=True) == rate.output_picodollars(long=False) == 30_000_000


def _override(**changes: object) -> dict[str, object]:
    prices = {unit.value: "7" for unit in CHAT_UNITS}
    return {
        "model": "gpt-6-luna",
        "valid_from": datetime(2027, 1, 1, tzinfo=UTC),
        "row": {"tiers": {"default": prices}},
    } | changes


def test_override_holds_from_its_day_on() -> None:
    """Calls before the day keep their price, and both can be rated again."""
    card = CARD.with_overrides([_override()])
    before = card.find("gpt-6-luna", at=datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    after = card.find("gpt-6-luna", at=datetime(2027, 1, 1, tzinfo=UTC))

    assert before == CARD.find("gpt-6-luna")
    assert after.rates["default"].output_picodollars(long=False) == 7_000_000
    assert after.max_output == before.max_output
    assert (card.by_version(before.version), card.by_version(after.version)) == (before, after)
    assert card.find("gpt-6-luna", at=datetime(2020, 1, 1, tzinfo=UTC)) == before


def test_override_of_the_same_day_takes_the_place_of_a_row() -> None:
    """An operator can mend a price without waiting for tomorrow."""
    day = CARD.find("gpt-6-luna").valid_from
    card = CARD.with_overrides([_override(valid_from=day)])

    assert card.rows_of("gpt-6-luna") == (card.find("gpt-6-luna"),)
    assert card.find("gpt-6-luna").version != CARD.find("gpt-6-luna").version


def test_override_brings_a_new_model() -> None:
    """A model can be sold on the day it appears."""
    row = _override()["row"]
    about = {"encoding": "o200k_base", "context_window": 8, "max_input": 8, "max_output": 4}
    card = CARD.with_overrides([_override(model="gpt-7", row={**row, **about})])  # type: ignore[dict-item]

    assert card.find("gpt-7").source == "set by the operator"
    assert "gpt-7" not in CARD.models


def test_override_of_an_unknown_model_needs_its_limits() -> None:
    """Without max_output there is no ceiling."""
    with pytest.raises(RateCardWrong, match="model gpt-7, encoding"):
        CARD.with_overrides([_override(model="gpt-7")])


def test_reply_of_a_dated_snapshot_is_settled_as_its_model() -> None:
    """The reply names the snapshot that the alias stood for."""
    held = CARD.rate("gpt-5.6")

    settled = CARD.settling_rate(held, model="gpt-5.6-sol-2026-07-09", tier="default")

    assert settled == (held, None)


def test_reply_of_another_priced_model_is_settled_as_that_one() -> None:
    """What answered is what OpenAI bills."""
    rate, flag = CARD.settling_rate(CARD.rate("gpt-6-luna"), model="gpt-6-sol", tier=None)

    assert (rate.model, flag) == ("gpt-6-sol", None)


def test_reply_of_an_unknown_model_or_tier_is_flagged_and_never_free() -> None:
    """The model that was asked for, and the dearest tier, are charged."""
    held = CARD.rate("gpt-6-astra")

    assert CARD.settling_rate(held, model="Yn6JQq", tier="default") == (held, "model_not_priced")
    rate, flag = CARD.settling_rate(held, model=None, tier="hyperfast")
    assert (rate.tier, flag) == ("ultrafast", "tier_not_priced")


def test_priority_reply_is_charged_as_priority() -> None:
    """The tier of the response counts, not that of the request."""
    rate, flag = CARD.settling_rate(CARD.rate("gpt-6-sol"), model="gpt-6-sol", tier="priority")

    assert rate.cost(Usage({Unit.OUTPUT: 1})).pico == 20_000_000
    assert flag is None


def test_settling_keeps_the_prices_of_the_hold() -> None:
    """A price that changes while a call runs does not change the call."""
    card = CARD.with_overrides([_override(valid_from=datetime(2026, 11, 1, tzinfo=UTC))])
    held = CARD.rate("gpt-6-luna")

    rate, _ = card.settling_rate(held, model="gpt-6-luna-2026-09-15", tier="default")

    assert rate == held


def test_unreadable_card_is_named(tmp_path: Path) -> None:
    """The operator sees which file and why."""
    path = tmp_path / "card.toml"
    path.write_text("[[model]\n")

    with pytest.raises(RateCardWrong, match=r"card\.toml: cannot be read"):
        RateCard.load(path)
    path.write_text("")
    with pytest.raises(RateCardWrong, match=r"has no \[\[model\]\]"):
        RateCard.load(path)


def test_smallest_price_is_a_whole_number_of_pico_dollars() -> None:
    """gpt-5-nano from the cache in the flex tier is a quarter of a cent per million."""
    rate = CARD.rate("gpt-5-nano", tier="flex")

    assert rate.short[Unit.CACHED_INPUT] == int(Decimal("0.0025") * 10**6)
