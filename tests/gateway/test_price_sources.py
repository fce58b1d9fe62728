"""Two price lists are read for every unit, and fitted to the names of ours."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.price_sources import GenaiPrices, LiteLLMFile, Quote
from gateway.prices_update import complete, fitted, new_model, update

GENAI = GenaiPrices(datetime(2026, 11, 22, tzinfo=UTC))
DAY = date(2026, 12, 1)


def quote(**prices: str) -> Quote:
    """A quote; `default__input` is the price `default.input`."""
    named = {key.replace("__", "."): Decimal(price) for key, price in prices.items()}
    return Quote("a list", named)


def litellm(tmp_path: Path, **about: Any) -> Quote | None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"gpt-x": {"litellm_provider": "openai"} | about}))
    return LiteLLMFile(path).quote("gpt-x")


@pytest.mark.parametrize(
    ("model", "prices"),
    [
        # 0.36 dollars an hour of 3,600,000 milliseconds
        ("whisper-1", {"default.audio_milliseconds": "0.1"}),
        ("tts-1", {"default.characters": "15"}),
        ("text-embedding-3-small", {"default.input": "0.02"}),
    ],
)
def test_genai_prices_are_read_for_units_that_are_no_tokens(
    model: str, prices: dict[str, str]
) -> None:
    """An hour of audio becomes a million milliseconds."""
    found = GENAI.quote(model)

    assert found is not None
    assert found.prices == {key: Decimal(price) for key, price in prices.items()}


def test_genai_prices_have_a_tier_of_batches_and_prices_of_tools() -> None:
    """Half of the default, long prompts included; searches are priced by the thousand there."""
    found = GENAI.quote("gpt-6-sol")

    assert found is not None
    assert found.prices["batch.output"] == 5
    assert found.prices["long.batch.output"] == Decimal("7.5")
    assert found.prices["tools.web_searches"] == 10_000
    assert found.prices["tools.file_searches"] == 2_500
    assert not [key for key in found.prices if key.startswith("ultrafast.")]


def test_litellm_file_is_read_for_every_unit_and_tier(tmp_path: Path) -> None:
    """Its prices are for one of what is billed, a second of audio among them."""
    found = litellm(
        tmp_path,
        mode="realtime",
        input_cost_per_audio_token=3.2e-05,
        cache_read_input_image_token_cost=5e-07,
        output_cost_per_image_token=3e-05,
        input_cost_per_token_batches=2.5e-06,
        input_cost_per_token_above_272k_tokens_batches=5e-06,
        input_cost_per_second=0.0001,
        input_cost_per_character=1.5e-05,
        search_context_cost_per_query={"search_context_size_medium": 0.025},
    )

    assert found is not None
    assert found.serves == ("realtime",)
    assert found.prices == {
        "default.audio_input": 32,
        "default.cached_image_input": Decimal("0.5"),
        "default.image_output": 30,
        "batch.input": Decimal("2.5"),
        "long.batch.input": 5,
        "default.audio_milliseconds": Decimal("0.1"),
        "default.characters": 15,
        "tools.web_searches": 25_000,
    }


@pytest.mark.parametrize(
    ("about", "serves"),
    [
        ({"mode": "chat"}, ("chat", "responses")),
        ({"mode": "chat", "supported_endpoints": ["/v1/responses"]}, ("responses",)),
        ({"mode": "chat", "supported_endpoints": ["/v1/chat/completions"]}, ("chat",)),
        ({"mode": "embedding"}, ("embeddings",)),
        ({"mode": "completion", "litellm_provider": "text-completion-openai"}, ("completions",)),
        ({"mode": "video_generation"}, ()),
    ],
)
def test_litellm_file_says_what_a_model_serves(
    tmp_path: Path, about: dict[str, Any], serves: tuple[str, ...]
) -> None:
    """By its kind, and by the paths where it lists them."""
    found = litellm(tmp_path, **about)

    assert found is not None
    assert found.serves == serves


def test_model_of_another_provider_is_not_quoted(tmp_path: Path) -> None:
    """The same name sold by somebody else has another price."""
    assert litellm(tmp_path, litellm_provider="azure", input_cost_per_token=1e-06) is None


@pytest.mark.parametrize(
    ("serves", "given", "kept"),
    [
        (["images"], {"default__output": "30", "batch__output": "15"},
         {"default.image_output": "30", "batch.image_output": "15"}),
        (["images"], {"default__output": "10", "default__image_output": "32", "batch__output": "5"},
         {"default.output": "10", "default.image_output": "32", "batch.output": "5"}),
        (["speech"], {"default__input": "0.6", "default__output": "12"},
         {"default.input": "0.6", "default.audio_output": "12"}),
        (["speech"], {"default__audio_output": "12", "default__output": "10"},
         {"default.audio_output": "12"}),
        (["embeddings"], {"default__input": "1", "default__output": "0"}, {"default.input": "1"}),
        (["moderations"], {"default__input": "0"}, {}),
        (["transcriptions"], {"default__audio_input": "6", "default__audio_milliseconds": "0.1"},
         {"default.audio_input": "6"}),
        (["transcriptions"], {"default__audio_milliseconds": "0.1"},
         {"default.audio_milliseconds": "0.1"}),
        (["realtime"], {"tools__web_searches": "10000"}, {}),
        (["chat"], {"default__output": "10", "tools__web_searches": "10000"},
         {"default.output": "10", "tools.web_searches": "10000"}),
    ],
)  # fmt: skip
def test_quote_is_fitted_to_what_a_family_bills(
    serves: list[str], given: dict[str, str], kept: dict[str, str]
) -> None:
    """What comes out of a model of images is not text, and a zero is no price of ours."""
    prices = fitted(quote(**given), serves).prices

    assert prices == {key: Decimal(price) for key, price in kept.items()}


def test_reading_from_the_cache_costs_what_its_own_kind_of_input_does() -> None:
    """Audio that has no price of its own in the cache is not read at the price of text."""
    prices = {f"default.{unit}": Decimal(price) for unit, price in
              (("input", 4), ("audio_input", 32), ("output", 1), ("audio_output", 1))}  # fmt: skip
    complete(prices, ["realtime"])

    assert prices["default.cached_audio_input"] == 32
    assert prices["default.cached_input"] == 4
    assert "default.cached_image_input" not in prices
    assert "default.cache_write_30m" not in prices


def test_tier_that_cannot_price_a_call_is_not_offered() -> None:
    """A list that has only the input of a batch does not price batches."""
    prices = {"default.input": Decimal(2), "default.output": Decimal(8), "batch.input": Decimal(1)}
    complete(prices, ["completions"])

    assert prices.keys() == {"default.input", "default.output"}


def card(
    serves: str, prices: dict[str, str], decided: dict[str, str] | None = None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "valid_from": date(2026, 1, 1),
        "source": "before",
        "tiers": {"default": prices},
    }
    row |= {"decided": decided} if decided else {}
    return {
        "tools": {"web_searches": "10000"},
        "model": [{"id": "gpt-x", "serves": [serves], "row": [row]}],
    }


def updated(card: dict[str, Any], first: Quote, second: Quote) -> Any:
    return update(card, {"gpt-x": (first, second)}, valid_from=DAY)


TEXT = {"input": "2", "cached_input": "2", "cache_write_30m": "2", "cache_write_12h": "2",
        "output": "10"}  # fmt: skip
LISTED = {"default__input": "2", "default__output": "10"}


def test_tool_that_costs_what_the_card_says_is_not_written_to_the_row() -> None:
    """One price for every model stands in one place."""
    listed = quote(**LISTED, tools__web_searches="10000.0")
    outcome = updated(card("chat", TEXT), listed, listed)

    assert (outcome.changes, outcome.disagreements) == ([], [])


def test_tool_with_another_price_is_written_to_every_tier_of_the_row() -> None:
    """As both lists have it."""
    listed = quote(**LISTED, batch__input="1", batch__output="5", tools__web_searches="25000")
    new = updated(card("chat", TEXT), listed, listed).card["model"][0]["row"][-1]

    assert new["tiers"]["default"] == TEXT | {"web_searches": "25000"}
    assert new["tiers"]["batch"]["web_searches"] == "25000"


@pytest.mark.parametrize("decided", [True, False])
def test_price_of_a_tool_that_was_decided_stands(decided: bool) -> None:
    """A list may have the price of the other one of two tools, or of none."""
    why = {"tools.web_searches": "the dearer"} if decided else None
    before = card("chat", TEXT | {"web_searches": "25000"}, why)
    outcome = updated(before, quote(**LISTED, tools__web_searches="10000"), quote(**LISTED))

    assert (outcome.changes == []) is decided
    assert outcome.disagreements == []


def test_model_that_lacks_a_price_is_not_written() -> None:
    """A person is told which."""
    listed = quote(default__input="2")
    outcome = updated(card("completions", {"input": "2", "output": "8"}), listed, listed)

    assert [found.key for found in outcome.disagreements] == ["default.output"]
    assert outcome.changes == []


def test_new_model_that_is_free_has_a_tier_without_prices() -> None:
    """Moderations are not billed, and are on the card all the same."""
    limits = {"context_window": 9, "max_input": 8, "max_output": 4}
    listed = Quote("a list", {"default.input": Decimal(0)}, limits, ("moderations",))
    made = new_model("gpt-x", "o200k_base", listed, listed)
    outcome = updated({"model": [made]}, listed, listed)

    assert outcome.card["model"][0]["row"][0]["tiers"] == {"default": {}}


def test_model_that_a_person_put_on_the_card_gets_its_first_row() -> None:
    """No list has the limits of images, so a person writes them, and the lists the prices."""
    listed = quote(default__input="5", default__image_input="8", default__output="30")
    outcome = updated({"model": [{"id": "gpt-x", "serves": ["images"]}]}, listed, listed)
    (row,) = outcome.card["model"][0]["row"]

    assert row["valid_from"] == DAY
    assert row["tiers"]["default"]["image_output"] == "30"
