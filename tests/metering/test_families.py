"""What a call of each family of endpoints costs, and what its model must have prices for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.card_rows import read_row, read_tools
from metering.errors import RateCardWrong, UnitNotPriced
from metering.families import UNITS_OF_FAMILY, missing_units, units_of
from metering.prices import Rate
from metering.rates import RateCard
from metering.usage import INPUT_TOKENS, Unit, Usage

CARD = RateCard.load()
RATES = [
    rate
    for model in CARD.models
    for row in CARD.rows_of(model)
    for rate in row.rates.values()
]  # fmt: skip

AUDIO_INPUT = {Unit.AUDIO_INPUT, Unit.CACHED_AUDIO_INPUT}

rates = st.sampled_from(RATES)


# Each cost was worked out by hand from OpenAI's price list, in dollars.
@pytest.mark.parametrize(
    ("model", "tier", "cost", "usage"),
    [
        # 1000 x 2 + 500 x 0.2 + 200 x 2.5 + 100 x 5 + 300 x 10 = 6100 millionths
        ("gpt-6-sol", "default", "0.0061", {"input": 1000, "cached_input": 500,
         "cache_write_30m": 200, "cache_write_12h": 100, "output": 300}),
        # a long prompt: 272001 x 4 + 10 x 15
        ("gpt-6-sol", "default", "1.088154", {"input": 272_001, "output": 10}),
        # one token less: 272000 x 2 + 10 x 10
        ("gpt-6-sol", "default", "0.5441", {"input": 272_000, "output": 10}),
        # 1000 x 0.05 + 100 x 0.25
        ("gpt-6-luna", "flex", "0.000075", {"input": 1000, "output": 100}),
        # 100 x 20 + 10 x 100
        ("gpt-6-astra", "fast", "0.003", {"input": 100, "output": 10}),
        # 1000 x 0.5 + 100 x 2.5
        ("gpt-6.1-terra", "batch", "0.00075", {"input": 1000, "output": 100}),
        # 100 x 2.5 + 200 x 32 + 50 x 10 + 300 x 64
        ("gpt-audio", "default", "0.02635", {"input": 100, "audio_input": 200, "output": 50,
         "audio_output": 300}),
        # 1000 x 30 + 100 x 180 + 2 x 10000 + 3 x 2500 + 1 x 30000
        ("gpt-5.5-pro", "default", "0.1055", {"input": 1000, "output": 100, "web_searches": 2,
         "file_searches": 3, "containers": 1}),
        # 1 x 25000: a model that does not reason
        ("gpt-4.1", "priority", "0.025", {"web_searches": 1}),
        # 100 x 1.5 + 50 x 2
        ("gpt-3.5-turbo-instruct", "default", "0.00025", {"input": 100, "output": 50}),
        # 1234 x 0.02, and half of it
        ("text-embedding-3-small", "default", "0.00002468", {"input": 1234}),
        ("text-embedding-3-small", "batch", "0.00001234", {"input": 1234}),
        # 50 x 5 + 10 x 1.25 + 300 x 8 + 100 x 2 + 1056 x 32 + 20 x 10
        ("gpt-image-1.5", "default", "0.0368545", {"input": 50, "cached_input": 10,
         "image_input": 300, "cached_image_input": 100, "image_output": 1056, "output": 20}),
        # 50 x 2.5 + 1000 x 15
        ("gpt-image-2", "batch", "0.015125", {"input": 50, "image_output": 1000}),
        # 4096 x 15
        ("tts-1", "default", "0.06144", {"characters": 4096}),
        # 100 x 0.6 + 500 x 12
        ("gpt-4o-mini-tts", "default", "0.00606", {"input": 100, "audio_output": 500}),
        # 61.5 seconds x 0.0001 dollars
        ("whisper-1", "default", "0.00615", {"audio_milliseconds": 61_500}),
        # 61.5 seconds x 0.000075 dollars
        ("gpt-transcribe", "default", "0.0046125", {"audio_milliseconds": 61_500}),
        # 600 x 6 + 10 x 2.5 + 100 x 10
        ("gpt-4o-transcribe", "default", "0.004625", {"audio_input": 600, "input": 10,
         "output": 100}),
        # 100 x 4 + 50 x 0.4 + 200 x 32 + 80 x 0.4 + 30 x 5 + 10 x 0.5 + 60 x 24 + 150 x 64
        ("gpt-realtime-2.1", "default", "0.018047", {"input": 100, "cached_input": 50,
         "audio_input": 200, "cached_audio_input": 80, "image_input": 30,
         "cached_image_input": 10, "output": 60, "audio_output": 150}),
        ("omni-moderation-latest", "default", "0.00", {}),
    ],
)  # fmt: skip
def test_cost_worked_out_by_hand(model: str, tier: str, cost: str, usage: dict[str, int]) -> None:
    """One call of each family and tier."""
    assert str(CARD.rate(model, tier=tier).cost(Usage.from_names(usage))) == cost


def test_every_family_has_a_model() -> None:
    """An endpoint whose family nobody serves would refuse everything."""
    served = {family for row in CARD.models.values() for family in row.serves}

    assert served == UNITS_OF_FAMILY.keys()


@pytest.mark.parametrize("row", CARD.models.values(), ids=lambda row: row.id)
def test_every_tier_prices_what_the_default_one_does(row: Any) -> None:
    """A call that may be made in one tier can be charged in the tier that served it."""
    for rate in row.rates.values():
        assert rate.short.keys() == rate.long.keys() == row.tiers["default"].keys()
        assert not rate.short.keys() - units_of(row.serves)


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{rate.model}:{rate.tier}")
def test_version_gives_the_same_rate_back(rate: Rate) -> None:
    """Every stored call can be rated again, whatever it was."""
    assert CARD.rate_of(rate.version) == rate


@given(rates, st.data())
def test_ceiling_covers_every_way_a_bound_may_be_used(rate: Rate, data: st.DataObject) -> None:
    """Text may be cached or images, audio may be text: nothing within a bound costs more."""
    others = rate.short.keys() - INPUT_TOKENS
    used = dict(data.draw(_counts(others)))
    bound = {unit: n + data.draw(st.integers(0, 9)) for unit, n in used.items()}
    inputs = rate.short.keys() & INPUT_TOKENS
    for held, may_be in (
        (Unit.INPUT, inputs - AUDIO_INPUT),
        (Unit.AUDIO_INPUT, inputs),
    ):
        if held in rate.short:
            split = data.draw(_counts(may_be))
            bound[held] = sum(split.values()) + data.draw(st.integers(0, 300_000))
            used |= {unit: used.get(unit, 0) + n for unit, n in split.items()}

    assert rate.cost(Usage(used)) <= rate.ceiling_cost(Usage(bound))


def _counts(units: Any) -> st.SearchStrategy[dict[Unit, int]]:
    if not units:
        return st.just({})
    return st.dictionaries(st.sampled_from(sorted(units)), st.integers(0, 300_000))


def test_input_is_held_at_the_dearest_of_text_and_image() -> None:
    """A picture in the body is counted in bytes, and may be billed as tokens of an image."""
    rate = CARD.rate("gpt-image-2")

    assert rate.ceiling_cost(Usage({Unit.INPUT: 1})).pico == 8_000_000
    assert rate.dearest_input_picodollars(long=False) == 8_000_000


def test_audio_is_held_only_where_the_bound_says_audio() -> None:
    """Text that a model of audio is sent is not held at sixteen times its price."""
    rate = CARD.rate("gpt-realtime-2.1")

    assert rate.ceiling_cost(Usage({Unit.INPUT: 1})).pico == 5_000_000
    assert rate.ceiling_cost(Usage({Unit.AUDIO_INPUT: 1})).pico == 32_000_000
    assert rate.ceiling_cost(Usage({Unit.AUDIO_OUTPUT: 1})).pico == 64_000_000


def test_rate_without_tokens_has_no_price_of_them() -> None:
    """It can be read and charged, and says what it does not price."""
    rate = CARD.rate("whisper-1")

    assert rate.prices(Unit.AUDIO_MILLISECONDS)
    assert not rate.prices(Unit.INPUT)
    with pytest.raises(UnitNotPriced, match="input of the model whisper-1"):
        rate.ceiling_cost(Usage({Unit.INPUT: 1}))
    with pytest.raises(UnitNotPriced, match="input of the model whisper-1"):
        rate.dearest_input_picodollars(long=False)
    with pytest.raises(UnitNotPriced, match="output of the model whisper-1"):
        rate.output_picodollars(long=True)


def test_tier_is_found_by_any_of_its_names() -> None:
    """OpenAI takes fast for priority, and standard for default."""
    row = CARD.find("gpt-6-sol")

    assert row.tier("fast") is row.tier("priority") is row.rates["priority"]
    assert row.tier("standard") is row.tier("auto") is row.rates["default"]
    assert row.tier("ultrafast") is None
    assert CARD.find("whisper-1").dearest_rate.tier == "default"


LIMITS: dict[str, Any] = {
    "id": "a-model",
    "encoding": "o200k_base",
    "context_window": 8,
    "max_input": 8,
    "max_output": 8,
}


def row_of(family: str, units: Any, tools: Any = None, **tiers: Any) -> Any:
    """A row of a model that serves one family and prices these units at a dollar a million."""
    row = {
        "valid_from": "2026-11-01",
        "source": "a test",
        "tiers": {"default": dict.fromkeys((unit.value for unit in units), "1")} | tiers,
    }
    return read_row(LIMITS | {"serves": [family]}, row, tools)


MISSING = [
    (family, units, unit)
    for family, alternatives in UNITS_OF_FAMILY.items()
    for units in alternatives
    for unit in sorted(units)
]


@pytest.mark.parametrize(("family", "units", "unit"), MISSING)
def test_unit_that_a_meter_needs_and_has_no_price_stops_the_start(
    family: str, units: frozenset[Unit], unit: Unit
) -> None:
    """The process stops and names it."""
    assert row_of(family, units).serves == {family}
    with pytest.raises(RateCardWrong) as refused:
        row_of(family, units - {unit})
    assert refused.value.key == f"tiers.default.{unit}"


def test_alternatives_do_not_make_one_together() -> None:
    """Half of one and half of another cannot price a call."""
    assert missing_units(["speech"], {Unit.AUDIO_OUTPUT}) == [Unit.INPUT]
    assert missing_units(["transcriptions"], {Unit.INPUT, Unit.AUDIO_INPUT, Unit.CHARACTERS})
    assert missing_units(["speech", "embeddings"], {Unit.CHARACTERS}) == [Unit.INPUT]
    assert missing_units(["speech"], ()) == [Unit.CHARACTERS]


@pytest.mark.parametrize("family", sorted(UNITS_OF_FAMILY.keys() - {"moderations"}))
def test_only_moderations_are_free(family: str) -> None:
    """A tier without a price is a mistake anywhere else, and a zero is one everywhere."""
    with pytest.raises(RateCardWrong, match="has no price"):
        row_of(family, [])
    assert row_of("moderations", []).rates["default"].cost(Usage()).pico == 0
    with pytest.raises(UnitNotPriced):
        row_of("moderations", []).rates["default"].cost(Usage({Unit.INPUT: 1}))


TEXT = UNITS_OF_FAMILY["chat"][0]
TOOLS = read_tools({"tools": {"web_searches": "10000"}})


def test_tools_cost_the_same_with_every_model_that_may_use_them() -> None:
    """The card's price stands where a tier has none of its own, and only for such a family."""
    own = dict.fromkeys((unit.value for unit in TEXT), "1") | {"web_searches": "25000"}
    row = row_of("responses", TEXT, TOOLS, priority=own)

    assert row.tiers["default"][Unit.WEB_SEARCHES] == 10_000 * 10**6
    assert row.tiers["priority"][Unit.WEB_SEARCHES] == 25_000 * 10**6
    assert Unit.WEB_SEARCHES not in row_of("embeddings", [Unit.INPUT], TOOLS).tiers["default"]


def test_tool_of_a_long_prompt_costs_what_it_does_with_a_short_one() -> None:
    """A row that sets its own price of a search need not say it twice."""
    prices = dict.fromkeys((unit.value for unit in TEXT), "1")
    long_prompt = {"over": 5, "tiers": {"default": prices}}
    row = {
        "valid_from": "2026-11-01",
        "source": "a test",
        "tiers": {"default": prices | {"web_searches": "25000"}},
        "long_prompt": long_prompt,
    }
    read = read_row(LIMITS | {"serves": ["chat"]}, row, TOOLS)

    assert read.long_tiers["default"][Unit.WEB_SEARCHES] == 25_000 * 10**6


def test_price_of_a_tool_is_part_of_the_version() -> None:
    """A search that became dearer is rated again at what it cost then."""
    dearer = read_tools({"tools": {"web_searches": "10001"}})

    assert row_of("chat", TEXT, TOOLS).version != row_of("chat", TEXT, dearer).version
    assert row_of("chat", TEXT, TOOLS).version != row_of("chat", TEXT).version
    plain = row_of("embeddings", [Unit.INPUT])
    assert row_of("embeddings", [Unit.INPUT], TOOLS).version == plain.version


def test_operators_row_has_the_prices_of_tools_too() -> None:
    """It names only what is its own."""
    prices = dict.fromkeys((unit.value for unit in TEXT), "7")
    override = {"model": "gpt-6-luna", "valid_from": "2027-01-01"}
    card = CARD.with_overrides([override | {"row": {"tiers": {"default": prices}}}])
    again = card.with_overrides([override | {"valid_from": "2027-02-01",
                                             "row": {"tiers": {"default": prices}}}])  # fmt: skip

    for rate in (card.rate("gpt-6-luna"), again.rate("gpt-6-luna")):
        assert rate.cost(Usage({Unit.WEB_SEARCHES: 1, Unit.INPUT: 1})).pico == 10_007 * 10**6


@pytest.mark.parametrize(
    ("tools", "key"),
    [({"input": "1"}, "input"), ({"web_searches": 1}, "tools.web_searches"), ([], "tools"),
     ({"containers": "0"}, "tools.containers")],
)  # fmt: skip
def test_wrong_price_of_a_tool_is_refused(tools: Any, key: str) -> None:
    """It would be wrong with every model."""
    with pytest.raises(RateCardWrong) as refused:
        read_tools({"tools": tools})
    assert refused.value.key == key
