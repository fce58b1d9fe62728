"""A card that a meter could not work with is refused, naming the model and the key."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from metering.card_rows import read_row
from metering.errors import RateCardWrong
from metering.rates import RateCard

PRICES = {
    "input": "2",
    "cached_input": "0.2",
    "cache_write_30m": "2.5",
    "cache_write_12h": "4",
    "output": "10",
}
MODEL: dict[str, Any] = {
    "id": "gpt-x",
    "aliases": ["gpt-x-latest"],
    "serves": ["chat"],
    "encoding": "o200k_base",
    "context_window": 1000,
    "max_input": 800,
    "max_output": 200,
}
ROW: dict[str, Any] = {
    "valid_from": "2026-11-01",
    "source": "a test",
    "tiers": {"default": PRICES},
    "long_prompt": {"over": 500, "tiers": {"default": dict.fromkeys(PRICES, "20")}},
}


def test_good_row_is_read() -> None:
    """Prices become pico-dollars per unit."""
    row = read_row(MODEL, ROW)

    assert row.rates["default"].dearest_input_picodollars(long=False) == 4_000_000
    assert row.rates["default"].output_picodollars(long=True) == 20_000_000
    assert row.version.startswith("2026-11-01.")


def test_tier_without_a_long_price_takes_the_default_one_where_it_is_dearer() -> None:
    """A long prompt is never cheaper because a price is missing."""
    cheap = dict.fromkeys(PRICES, "1")
    dear = dict.fromkeys(PRICES, "30")
    tiers = {"default": PRICES, "flex": cheap, "priority": dear}
    row = read_row(MODEL, ROW | {"tiers": tiers})

    assert row.rates["flex"].output_picodollars(long=True) == 20_000_000
    assert row.rates["priority"].output_picodollars(long=True) == 30_000_000


def test_version_changes_with_every_price() -> None:
    """Two prices never share a version; the source and a note do not matter."""
    changed = deepcopy(ROW)
    changed["tiers"]["default"]["output"] = "10.000001"

    assert read_row(MODEL, changed).version != read_row(MODEL, ROW).version
    assert read_row(MODEL, ROW | {"note": "x"}).version == read_row(MODEL, ROW).version
    assert read_row(MODEL | {"id": "gpt-y"}, ROW).version != read_row(MODEL, ROW).version


def _price(unit: str, price: object) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(model: dict[str, Any], row: dict[str, Any]) -> None:
        row["tiers"]["default"][unit] = price

    return change


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("tiers.default.output", _price("output", "0")),
        ("tiers.default.output", _price("output", "0.0000001")),
        ("tiers.default.output", _price("output", "-1")),
        ("tiers.default.output", _price("output", "1e3")),
        ("tiers.default.output", _price("output", 10.0)),
        ("tiers.default.prompts", _price("prompts", "1")),
        ("tiers.default.cached_input", lambda m, r: r["tiers"]["default"].pop("cached_input")),
        ("tiers", lambda m, r: r.pop("tiers")),
        ("tiers", lambda m, r: r["tiers"].pop("default")),
        ("long_prompt.over", lambda m, r: r["long_prompt"].pop("over")),
        ("long_prompt.tiers", lambda m, r: r["long_prompt"].pop("tiers")),
        (
            "long_prompt.tiers.default.output",
            lambda m, r: r["long_prompt"]["tiers"]["default"].update(output="9"),
        ),
        ("valid_from", lambda m, r: r.pop("valid_from")),
        ("valid_from", lambda m, r: r.update(valid_from="soon")),
        ("source", lambda m, r: r.pop("source")),
        ("price", lambda m, r: r.update(price="1")),
        ("max_output", lambda m, r: m.pop("max_output")),
        ("max_output", lambda m, r: m.update(max_output=True)),
        ("max_input", lambda m, r: m.update(max_input=0)),
        ("encoding", lambda m, r: m.update(encoding="r50k_base")),
        ("serves", lambda m, r: m.update(serves=[])),
        ("serves", lambda m, r: m.update(serves=["dreams"])),
        ("colour", lambda m, r: m.update(colour="red")),
        ("aliases", lambda m, r: m.update(aliases=[1])),
    ],
)
def test_wrong_row_is_refused_with_its_key(
    key: str, change: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    """The process stops at its start and says where the card is wrong."""
    model, row = deepcopy(MODEL), deepcopy(ROW)
    change(model, row)

    with pytest.raises(RateCardWrong) as refused:
        read_row(model, row)
    assert (refused.value.model, refused.value.key) == ("gpt-x", key)


def test_name_belongs_to_one_model() -> None:
    """An alias that two models claim has no price."""
    other = read_row(MODEL | {"id": "gpt-x-latest", "aliases": []}, ROW)

    with pytest.raises(RateCardWrong, match="gpt-x-latest is also a name of"):
        RateCard([read_row(MODEL, ROW), other])


def test_two_rows_of_one_day_are_refused() -> None:
    """A day has one price."""
    with pytest.raises(RateCardWrong, match="two rows begin on the same day"):
        RateCard([read_row(MODEL, ROW), read_row(MODEL, ROW)])
