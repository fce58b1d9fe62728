"""The rate card is brought up to date only where two price lists agree, or a person decided."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.prices import app
from gateway.price_card_file import write_card
from gateway.price_sources import Quote
from gateway.prices_update import NotEnoughKnown, new_model, update
from metering.rates import SHIPPED_CARD, RateCard

DAY = date(2026, 12, 1)
PRICES = {"default.input": "2", "default.cached_input": "0.2", "default.output": "10"}
FULL = {
    "input": "2",
    "cached_input": "0.2",
    "cache_write_30m": "2",
    "cache_write_12h": "2",
    "output": "10",
}


def quote(source: str = "a list", **changes: str) -> Quote:
    prices = PRICES | {key.replace("_", ".", 1): price for key, price in changes.items()}
    return Quote(source, {key: Decimal(price) for key, price in prices.items()})


def card(**row: Any) -> dict[str, Any]:
    made = {"valid_from": date(2026, 1, 1), "source": "before", "tiers": {"default": dict(FULL)}}
    return {"model": [{"id": "gpt-x", "serves": ["chat"], "row": [made | row]}]}


def test_prices_that_have_not_changed_change_nothing() -> None:
    """The card is up to date."""
    outcome = update(card(), {"gpt-x": (quote(), quote())}, valid_from=DAY)

    assert (outcome.card, outcome.changes, outcome.disagreements) == (card(), [], [])


def test_price_that_both_lists_changed_becomes_a_new_row() -> None:
    """The old row stays, so that a call of last month can be rated again."""
    quotes = {"gpt-x": (quote(default_output="8"), quote(default_output="8.00"))}
    outcome = update(card(), quotes, valid_from=DAY)
    old, new = outcome.card["model"][0]["row"]

    assert outcome.changes == ["gpt-x: default.output 10 → 8"]
    assert old == card()["model"][0]["row"][0]
    assert (new["valid_from"], new["tiers"]["default"]) == (DAY, FULL | {"output": "8"})


def test_lists_that_disagree_stop_the_update() -> None:
    """Both prices are shown, and the model is left as it is."""
    quotes = {"gpt-x": (quote(default_output="8"), quote(default_output="9"))}
    outcome = update(card(), quotes, valid_from=DAY)
    (found,) = outcome.disagreements

    assert found.key == "default.output"
    assert (found.first, found.second, found.ours) == (Decimal(8), Decimal(9), Decimal(10))
    assert outcome.card == card()


@pytest.mark.parametrize(("decided_price", "stands"), [("9", True), ("10", False)])
def test_decision_stands_until_a_list_moves(decided_price: str, stands: bool) -> None:
    """The reason is kept with the price, which one of the lists must still have."""
    before = card(
        tiers={"default": FULL | {"output": decided_price}},
        decided={"default.output": "the second list was right last time"},
    )
    quotes = {"gpt-x": (quote(default_output="8"), quote(default_output="9"))}

    assert (update(before, quotes, valid_from=DAY).disagreements == []) is stands


def test_model_that_one_list_knows_needs_a_decision() -> None:
    """One list alone is not trusted."""
    alone = update(card(), {"gpt-x": (quote(), None)}, valid_from=DAY)
    decided = update(card(decided={"model": "why"}), {"gpt-x": (quote(), None)}, valid_from=DAY)

    assert [found.key for found in alone.disagreements] == ["model (known to a list)"]
    assert decided.disagreements == []


def test_cache_writes_are_filled_in_the_dearer_way() -> None:
    """Kept for 12 hours: twice those of 30 minutes where writes are billed at all."""
    writes = {"default_cache_write_30m": "2.5"}
    outcome = update(card(), {"gpt-x": (quote(**writes), quote(**writes))}, valid_from=DAY)
    new = outcome.card["model"][0]["row"][-1]["tiers"]["default"]

    assert (new["cache_write_30m"], new["cache_write_12h"]) == ("2.5", "5")


def test_new_model_needs_both_lists_and_its_limits() -> None:
    """Without max_output there would be no ceiling."""
    limits = {"context_window": 9, "max_input": 8, "max_output": 4}
    full = Quote("a list", quote().prices, limits, ("responses",))

    made = new_model("gpt-y", "o200k_base", full, quote())
    assert (made["max_output"], made["serves"]) == (4, ["responses"])
    with pytest.raises(NotEnoughKnown, match="which endpoints it serves"):
        new_model("gpt-y", "o200k_base", replace(full, serves=()), quote())
    with pytest.raises(NotEnoughKnown, match="not in both lists"):
        new_model("gpt-y", "o200k_base", full, None)
    with pytest.raises(NotEnoughKnown, match="neither list says its context_window"):
        new_model("gpt-y", "o200k_base", quote(), quote())


def test_card_is_written_as_it_was_read(tmp_path: Path) -> None:
    """The comment at the head and every figure stay."""
    path = tmp_path / "card.toml"
    path.write_text(SHIPPED_CARD.read_text("utf-8"), "utf-8")
    write_card(path, tomllib.loads(path.read_text("utf-8")))

    assert path.read_text("utf-8") == SHIPPED_CARD.read_text("utf-8")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A card of one model that genai-prices knows, to be written over."""
    shipped = tomllib.loads(SHIPPED_CARD.read_text("utf-8"))
    model = next(model for model in shipped["model"] if model["id"] == "gpt-4o-mini")
    write_card(tmp_path / "card.toml", {"tools": shipped["tools"], "model": [model]})
    return tmp_path


def run(here: Path, output: str, *arguments: str) -> Any:
    prices = {
        "input_cost_per_token": 1.5e-07,
        "cache_read_input_token_cost": 7.5e-08,
        "input_cost_per_token_priority": 2.5e-07,
        "cache_read_input_token_cost_priority": 1.25e-07,
        "output_cost_per_token_priority": 1e-06,
        "output_cost_per_token": float(output) / 10**6,
        "litellm_provider": "openai",
    }
    second = here / "second.json"
    second.write_text(json.dumps({"gpt-4o-mini": prices}))
    command = ["update", "--litellm", str(second), "--card", str(here / "card.toml"), *arguments]
    return CliRunner().invoke(app, command)


def test_command_says_that_the_card_is_up_to_date(here: Path) -> None:
    """Exit code 0, nothing written."""
    before = (here / "card.toml").read_text()
    result = run(here, "0.6")

    assert (result.exit_code, result.stdout) == (0, "the rate card is up to date\n")
    assert (here / "card.toml").read_text() == before


def test_command_stops_on_a_disagreement(here: Path) -> None:
    """Exit code 10, a table of both prices, nothing written."""
    before = (here / "card.toml").read_text()
    result = run(here, "0.7")

    assert result.exit_code == 10
    assert "default.output" in result.stdout
    assert "0.7" in result.stdout
    assert (here / "card.toml").read_text() == before


def test_command_writes_what_changed_unless_it_only_checks(here: Path) -> None:
    """Exit code 11 with --check; else a new row and 0."""
    path = here / "card.toml"
    path.write_text(path.read_text().replace('output = "0.6"', 'output = "0.5"'))
    before = path.read_text()

    checked = run(here, "0.6", "--check")
    assert (checked.exit_code, path.read_text()) == (11, before)

    written = run(here, "0.6", "--valid-from", "2026-12-01")
    rows = RateCard.load(path).rows_of("gpt-4o-mini")
    assert written.exit_code == 0
    assert [row.rates["default"].output_picodollars(long=False) for row in rows] == [
        500_000,
        600_000,
    ]


@pytest.mark.parametrize("second", ["missing.json", "card.toml"])
def test_unreadable_list_is_named(here: Path, second: str) -> None:
    """Exit code 1."""
    command = ["update", "--litellm", str(here / second), "--card", str(here / "card.toml")]
    result = CliRunner().invoke(app, command)

    assert result.exit_code == 1
    assert "cannot be read" in result.stderr


def test_second_list_must_be_given_when_none_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One list alone never changes a price."""
    monkeypatch.setattr("gateway.cli.prices.installed_litellm_file", lambda: None)
    result = CliRunner().invoke(app, ["update"])

    assert result.exit_code == 1
    assert "there is no second list" in result.stderr


def test_card_is_shown_as_json() -> None:
    """Prices are decimal strings in USD per million."""
    result = CliRunner().invoke(app, ["show", "gpt-5.6", "--json"])
    (shown,) = json.loads(result.stdout)

    assert shown["id"] == "gpt-5.6-sol"
    assert shown["tiers"]["default"]["output"] == "20"
    assert shown["long_prompt"]["tiers"]["default"]["output"] == "30"


def test_unknown_model_is_an_error() -> None:
    """Exit code 1, and the name."""
    result = CliRunner().invoke(app, ["show", "gpt-nothing"])

    assert result.exit_code == 1
    assert "gpt-nothing" in result.stderr


def test_card_is_shown_as_a_table() -> None:
    """One line a model, in a table of those that bill the same units."""
    result = CliRunner().invoke(app, ["show"], env={"COLUMNS": "160"})

    assert result.exit_code == 0
    assert all(model in result.stdout for model in RateCard.load().models)
    assert "milliseconds" in result.stdout


def test_model_is_shown_with_every_unit_and_tier() -> None:
    """A table of the short prompt and one of the long."""
    result = CliRunner().invoke(app, ["show", "gpt-6-sol"])
    lines = [line.split() for line in result.stdout.splitlines()]

    assert ["unit", "default", "flex", "priority", "batch"] in lines
    assert ["output", "10", "5", "20", "5"] in lines
    assert ["output", "15", "7.5", "30", "7.5"] in lines
    assert ["containers", "30000", "30000", "30000", "30000"] in lines
