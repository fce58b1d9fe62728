"""
Brings the rate card up to date from two price lists, and stops where they disagree.

A person decides a disagreement: they put the price into the newest row of the model and say
why under its `decided`; from then on it stands until one of the lists moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from gateway.price_sources import LONG_PROMPT_OVER, TIERS, TOOLS, Quote
from metering.families import FAMILIES_WITH_TOOLS, TOOL_UNITS, missing_units, units_of
from metering.usage import Unit

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
        model.setdefault("row", [])  # A person put it on the card, with the limits it has.
        first, second = (
            quote and fitted(quote, model["serves"])
            for quote in quotes.get(model["id"], (None, None))
        )
        _update_model(outcome, model, first, second, valid_from)
    return outcome


def _update_model(
    outcome: Outcome, model: dict[str, Any], first: Quote | None, second: Quote | None, day: date
) -> None:
    newest: dict[str, Any] = max(
        model["row"], key=lambda row: row["valid_from"], default={"tiers": {}}
    )
    decided: Mapping[str, str] = newest.get("decided", {})
    serves: list[str] = model["serves"]
    tools = _prices_of_tools(outcome.card, serves)
    ours = prices_of(newest, tools)
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
        if key in decided and key in ours and _stands(key, ours[key], prices):
            agreed[key] = ours[key]
        elif len(prices) == 1:
            agreed[key] = prices.pop()
        else:
            outcome.disagreements.append(Disagreement(model["id"], key, one, other, ours.get(key)))
    if any(found.model == model["id"] for found in outcome.disagreements):
        return
    complete(agreed, serves)
    agreed = tools | agreed
    for unit in _not_priced(agreed, serves):
        outcome.disagreements.append(Disagreement(model["id"], unit, None, None, None))
        return
    if agreed == ours and model["row"]:
        return
    outcome.changes.append(f"{model['id']}: {_difference(ours, agreed)}")
    row = {
        "valid_from": day,
        "source": " and ".join(quote.source for quote in (first, second) if quote),
        **_tables(agreed, tools),
        **{key: newest[key] for key in ("decided", "note") if newest.get(key)},
    }
    model["row"] = [old for old in model["row"] if old["valid_from"] != day] + [row]


def _keys(first: Quote | None, second: Quote | None, decided: Mapping[str, str]) -> Iterable[str]:
    keys = {key for quote in (first, second) if quote for key in quote.prices}
    return sorted(keys | (decided.keys() - {"model"}))


def _stands(key: str, ours: Decimal, prices: set[Decimal]) -> bool:
    # OpenAI has two tools for searching the web, and a list has the price of one of them.
    return not prices or ours in prices or key.startswith(f"{TOOLS}.")


def fitted(quote: Quote, serves: Iterable[str]) -> Quote:
    """
    A quote with only what the model's families bill, under the names of our units.

    The lists call a picture's tokens, and those of speech, plain output where the model
    gives nothing else, and add a price by the second to models that bill audio tokens.
    """
    families = frozenset(serves)
    prices = dict(quote.prices)
    for family, unit in (("images", Unit.IMAGE_OUTPUT), ("speech", Unit.AUDIO_OUTPUT)):
        if families == {family} and f"default.{unit.value}" not in prices:
            prices = {_renamed(key, unit): price for key, price in prices.items()}
    if "default.audio_input" in prices:
        prices.pop("default.audio_milliseconds", None)
    known = {unit.value for unit in units_of(families)}
    kept = {key: price for key, price in prices.items() if key.rpartition(".")[2] in known}
    return replace(quote, prices=kept)


def _renamed(key: str, output: Unit) -> str:
    tier, _, unit = key.rpartition(".")
    return f"{tier}.{output.value}" if unit == Unit.OUTPUT.value else key


_READ_FROM_CACHE = (
    (Unit.CACHED_INPUT, Unit.INPUT),
    (Unit.CACHED_AUDIO_INPUT, Unit.AUDIO_INPUT),
    (Unit.CACHED_IMAGE_INPUT, Unit.IMAGE_INPUT),
)


def complete(prices: Prices, serves: Iterable[str]) -> None:
    """
    Give each tier the prices that OpenAI does not list because they follow from others.

    A model that has no price for cache reads or writes bills them as plain input; one that
    bills writes bills those that are kept for 12 hours at twice the price of the others,
    as it does wherever it lists both. A tier that cannot price a call is not offered.
    """
    families = frozenset(serves)
    known = units_of(families)
    for tier in {key.rpartition(".")[0] for key in prices} - {TOOLS}:
        for cached, plain in _READ_FROM_CACHE:
            if cached in known and f"{tier}.{plain}" in prices:
                prices.setdefault(f"{tier}.{cached}", prices[f"{tier}.{plain}"])
        if Unit.CACHE_WRITE_30M in known and f"{tier}.input" in prices:
            plain_price = prices[f"{tier}.input"]
            write = prices.setdefault(f"{tier}.cache_write_30m", plain_price)
            kept = plain_price if write == plain_price else write * 2
            prices.setdefault(f"{tier}.cache_write_12h", kept)
        if tier != "default" and missing_units(families, _priced(prices, tier)):
            for unit in _priced(prices, tier):
                del prices[f"{tier}.{unit}"]


def _priced(prices: Prices, tier: str) -> set[Unit]:
    return {unit for unit in Unit if f"{tier}.{unit}" in prices}


def _not_priced(prices: Prices, serves: Iterable[str]) -> list[str]:
    return [f"default.{unit}" for unit in missing_units(serves, _priced(prices, "default"))]


def _prices_of_tools(card: Mapping[str, Any], serves: Iterable[str]) -> Prices:
    """The card's own prices of tools, for a model whose calls may use them."""
    if not FAMILIES_WITH_TOOLS.intersection(serves):
        return {}
    return {f"{TOOLS}.{unit}": Decimal(price) for unit, price in card.get("tools", {}).items()}


def prices_of(row: Mapping[str, Any], tools: Prices) -> Prices:
    """The prices of a row of the card, by the keys of a quote."""
    found: Prices = dict(tools)
    for prefix, tiers in (
        ("", row.get("tiers", {})),
        ("long.", row.get("long_prompt", {}).get("tiers", {})),
    ):
        for tier, prices in tiers.items():
            for unit, price in prices.items():
                where = TOOLS if unit in TOOL_UNITS else f"{prefix}{tier}"
                found[f"{where}.{unit}"] = Decimal(price)
    return found


def _tables(prices: Prices, tools: Prices) -> dict[str, Any]:
    own = {unit for unit in TOOL_UNITS if prices.get(k := f"{TOOLS}.{unit}") != tools.get(k)}
    short = _tiers(prices, "", own)
    long = _tiers(prices, "long.", own)
    # A model that is free has the one tier, without a price.
    tables: dict[str, Any] = {"tiers": short or {"default": {}}}
    if long:
        tables["long_prompt"] = {"over": LONG_PROMPT_OVER, "tiers": long}
    return tables


def _tiers(prices: Prices, prefix: str, own_tools: Iterable[Unit]) -> dict[str, dict[str, str]]:
    tables: dict[str, dict[str, str]] = {}
    for tier in TIERS:
        row = {unit: prices.get(f"{prefix}{tier}.{unit}") for unit in Unit}
        if any(row.values()):
            row |= {unit: prices[f"{TOOLS}.{unit}"] for unit in own_tools}
            tables[tier] = {unit.value: f"{p.normalize():f}" for unit, p in row.items() if p}
    return tables


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
        NotEnoughKnown: One list does not know it, or its limits or families are in neither.
    """
    if first is None or second is None:
        raise NotEnoughKnown(f"{name} is not in both lists; a person must put it on the card")
    limits = {**first.limits, **second.limits}
    missing = {"context_window", "max_input", "max_output"} - limits.keys()
    if missing:
        raise NotEnoughKnown(
            f"{name}: neither list says its {', '.join(sorted(missing))}; put a [[model]] with "
            "them on the card, without a row, and run this again"
        )
    serves = second.serves or first.serves
    if not serves:
        raise NotEnoughKnown(f"{name}: neither list says which endpoints it serves")
    return {
        "id": name,
        "aliases": [],
        "serves": list(serves),
        "encoding": encoding,
        **limits,
        "row": [],
    }
