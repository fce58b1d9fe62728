"""
Brings the rate card up to date from two price lists, and stops where they disagree.

A person decides a disagreement: they put the price into the newest row of the model and say
why under its `decided`; from then on it stands until one of the lists moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from gateway.price_sources import LONG_PROMPT_OVER, TIERS, Quote

UNITS = ("input", "cached_input", "cache_write_30m", "cache_write_12h", "output")

Prices = dict[str, Decimal]


@dataclass(frozen=True)
class Disagreement:
    """Two lists give two prices, and no row says which one to take."""

    model: str
    key: str
    first: Decimal | None
    second: Decimal | None
    ours: Decimal | None


@dataclass
class Outcome:
    """What an update found: the card it would write, and what a person must decide."""

    card: dict[str, Any]
    disagreements: list[Disagreement] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)


def update(
    card: Mapping[str, Any],
    quotes: Mapping[str, tuple[Quote | None, Quote | None]],
    *,
    valid_from: date,
) -> Outcome:
    """
    The card with the prices that both lists give.

    A changed price becomes a new row that begins on `valid_from`; the older rows stay, so
    that a call of last month can be rated again.
    """
    outcome = Outcome(deepcopy(dict(card)))
    for model in outcome.card["model"]:
        first, second = quotes.get(model["id"], (None, None))
        _update_model(outcome, model, first, second, valid_from)
    return outcome


def _update_model(
    outcome: Outcome, model: dict[str, Any], first: Quote | None, second: Quote | None, day: date
) -> None:
    newest: dict[str, Any] = max(
        model["row"], key=lambda row: row["valid_from"], default={"tiers": {}}
    )
    decided: Mapping[str, str] = newest.get("decided", {})
    ours = prices_of(newest)
    if (first is None or second is None) and "model" not in decided:
        known = [quote.source for quote in (first, second) if quote] or ["no list"]
        outcome.disagreements.append(
            Disagreement(model["id"], f"model (known to {', '.join(known)})", None, None, None)
        )
        return
    agreed: Prices = {}
    for key in _keys(first, second, decided):
        one, other = (quote.prices.get(key) if quote else None for quote in (first, second))
        prices = {price for price in (one, other) if price is not None}
        if key in decided and key in ours and (not prices or ours[key] in prices):
            agreed[key] = ours[key]
        elif len(prices) == 1:
            agreed[key] = prices.pop()
        else:
            outcome.disagreements.append(Disagreement(model["id"], key, one, other, ours.get(key)))
    if any(found.model == model["id"] for found in outcome.disagreements):
        return
    complete(agreed)
    if agreed == ours:
        return
    outcome.changes.append(f"{model['id']}: {_difference(ours, agreed)}")
    row = {
        "valid_from": day,
        "source": " and ".join(quote.source for quote in (first, second) if quote),
        **_tables(agreed),
        **{key: newest[key] for key in ("decided", "note") if newest.get(key)},
    }
    model["row"] = [old for old in model["row"] if old["valid_from"] != day] + [row]


def _keys(first: Quote | None, second: Quote | None, decided: Mapping[str, str]) -> Iterable[str]:
    keys = {key for quote in (first, second) if quote for key in quote.prices}
    return sorted(keys | (decided.keys() - {"model"}))


def complete(prices: Prices) -> None:
    """
    Give each tier the prices that OpenAI does not list because they follow from others.

    A model that has no price for cache reads or writes bills them as plain input; one that
    bills writes bills those that are kept for 12 hours at twice the input.
    """
    for tier in {key.rpartition(".")[0] for key in prices}:
        plain = prices[f"{tier}.input"]
        writes_cost = f"{tier}.cache_write_30m" in prices
        prices.setdefault(f"{tier}.cached_input", plain)
        prices.setdefault(f"{tier}.cache_write_30m", plain)
        prices.setdefault(f"{tier}.cache_write_12h", plain * 2 if writes_cost else plain)


def prices_of(row: Mapping[str, Any]) -> Prices:
    """The prices of a row of the card, by the keys of a quote."""
    found: Prices = {}
    for prefix, tiers in (
        ("", row.get("tiers", {})),
        ("long.", row.get("long_prompt", {}).get("tiers", {})),
    ):
        for tier, prices in tiers.items():
            for unit, price in prices.items():
                found[f"{prefix}{tier}.{unit}"] = Decimal(price)
    return found


def _tables(prices: Prices) -> dict[str, Any]:
    short = _tiers(prices, "")
    long = _tiers(prices, "long.")
    tables: dict[str, Any] = {"tiers": short}
    if long:
        tables["long_prompt"] = {"over": LONG_PROMPT_OVER, "tiers": long}
    return tables


def _tiers(prices: Prices, prefix: str) -> dict[str, dict[str, str]]:
    return {
        tier: {unit: f"{prices[f'{prefix}{tier}.{unit}'].normalize():f}" for unit in UNITS}
        for tier in TIERS
        if f"{prefix}{tier}.input" in prices
    }


def _difference(old: Prices, new: Prices) -> str:
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    shown = [f"{key} {old.get(key, 'none')} → {new.get(key, 'none')}" for key in keys[:4]]
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return ", ".join(shown) + more


class NotEnoughKnown(Exception):
    """The lists do not say enough about a model to put it on the card."""


def new_model(
    name: str, encoding: str, first: Quote | None, second: Quote | None
) -> dict[str, Any]:
    """
    A model for the card, without prices yet: `update` brings them.

    Raises:
        NotEnoughKnown: One list does not know it, or its limits are in neither.
    """
    if first is None or second is None:
        raise NotEnoughKnown(f"{name} is not in both lists; a person must put it on the card")
    limits = {**first.limits, **second.limits}
    missing = {"context_window", "max_input", "max_output"} - limits.keys()
    if missing:
        raise NotEnoughKnown(f"{name}: neither list says its {', '.join(sorted(missing))}")
    return {
        "id": name,
        "aliases": [],
        "serves": ["chat"],
        "encoding": encoding,
        **limits,
        "row": [],
    }
