"""
Reads the tables of a rate card into rows, and refuses what a meter could not work with.

A wrong card stops the process at its start, not the first customer's call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from metering.errors import RateCardWrong
from metering.families import (
    FAMILIES_WITH_TOOLS,
    TOOL_UNITS,
    UNITS_OF_FAMILY,
    missing_units,
)
from metering.prices import DEFAULT_TIER, NEVER_LONG, ModelRow, Prices
from metering.usage import Unit

ENCODINGS = frozenset({"o200k_base", "cl100k_base"})
_PRICE = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?")


def read_tools(card: Mapping[str, Any]) -> dict[Unit, int]:
    """
    The card's `[tools]`: what a use of OpenAI's tools costs with every model, in pico-dollars.

    Raises:
        RateCardWrong: A unit is not one of a tool, or its price is malformed.
    """
    tools = card.get("tools", {})
    if not isinstance(tools, Mapping):
        raise RateCardWrong("(all)", "tools", "must be a table")
    _only("(all)", tools, {unit.value for unit in TOOL_UNITS})
    return {Unit(name): picodollars("(all)", f"tools.{name}", tools[name]) for name in tools}


def read_row(
    model: Mapping[str, Any], row: Mapping[str, Any], tools: Prices | None = None
) -> ModelRow:
    """
    One `[[model.row]]` of a rate card, checked.

    Args:
        model: The table of the model: id, aliases, serves, encoding and its limits.
        row: The table of the row: valid_from, source, tiers and, perhaps, long_prompt.
        tools: What `read_tools` read; a row whose calls may use tools has these prices
            where it sets none of its own, and they are part of its version.

    Raises:
        RateCardWrong: A key is missing, unknown or malformed, or a price that a meter
            needs is missing or not above zero.
    """
    found = _read_model(model)
    name = found["id"]
    _only(name, row, {"valid_from", "source", "read", "tiers", "long_prompt", "decided", "note"})
    long_prompt = row.get("long_prompt", {})
    _only(name, long_prompt, {"over", "tiers"})
    extra = (tools or {}) if found["serves"] & FAMILIES_WITH_TOOLS else {}
    tiers = _with_tools(_read_tiers(name, "tiers", row.get("tiers")), extra)
    read = ModelRow(
        **found,
        valid_from=_moment(name, row.get("valid_from")),
        source=_text(name, "source", row.get("source")),
        tiers=tiers,
        long_tiers=_with_tools(
            _read_tiers(name, "long_prompt.tiers", long_prompt.get("tiers")), extra, tiers
        )
        if long_prompt
        else {},
        long_over=_count(name, "long_prompt.over", long_prompt.get("over"))
        if long_prompt
        else NEVER_LONG,
        decided=dict(row.get("decided", {})),
        note=str(row.get("note", "")),
    )
    _check_complete(read)
    return read


def _read_model(model: Mapping[str, Any]) -> dict[str, Any]:
    name = str(model.get("id", "(without id)"))
    limits = {"context_window", "max_input", "max_output"}
    _only(name, model, limits | {"id", "aliases", "serves", "encoding", "row"})
    families = frozenset(model.get("serves", ()))
    if not families or not families <= UNITS_OF_FAMILY.keys():
        raise RateCardWrong(name, "serves", f"must list some of {sorted(UNITS_OF_FAMILY)}")
    if model.get("encoding") not in ENCODINGS:
        raise RateCardWrong(name, "encoding", f"must be one of {sorted(ENCODINGS)}")
    return {
        "id": _text(name, "id", model.get("id")),
        "aliases": tuple(_text(name, "aliases", alias) for alias in model.get("aliases", ())),
        "serves": families,
        "encoding": model["encoding"],
        **{key: _count(name, key, model.get(key)) for key in sorted(limits)},
    }


def _read_tiers(name: str, where: str, tiers: object) -> dict[str, dict[Unit, int]]:
    if not isinstance(tiers, Mapping) or DEFAULT_TIER not in tiers:
        raise RateCardWrong(name, where, f"must be a table with the tier {DEFAULT_TIER!r}")
    return {
        str(tier): {
            _unit(name, f"{where}.{tier}", unit): picodollars(name, f"{where}.{tier}.{unit}", price)
            for unit, price in prices.items()
        }
        for tier, prices in tiers.items()
    }


def _with_tools(
    tiers: Mapping[str, Prices], tools: Prices, short: Mapping[str, Prices] | None = None
) -> dict[str, Prices]:
    """The tiers with the prices of tools that they lack: of the short prompt, else the card's."""
    return {
        tier: {
            **tools,
            **{u: p for u, p in (short or {}).get(tier, {}).items() if u in tools},
            **prices,
        }
        for tier, prices in tiers.items()
    }


def picodollars(model: str, key: str, price: object) -> int:
    """Pico-dollars per unit of a price in USD per million, which must be above zero."""
    if not isinstance(price, str) or not _PRICE.fullmatch(price):
        raise RateCardWrong(
            model, key, 'a price is a decimal string in USD per million, such as "1.25"'
        )
    whole, _, part = price.partition(".")
    pico = int(whole) * 10**6 + int(part.ljust(6, "0"))
    if pico == 0:
        raise RateCardWrong(model, key, "a price of zero is no price; leave the unit out")
    return pico


def _check_complete(row: ModelRow) -> None:
    for where, tiers in (("tiers", row.tiers), ("long_prompt.tiers", row.long_tiers)):
        for tier, prices in tiers.items():
            for unit in missing_units(row.serves, prices):
                raise RateCardWrong(row.id, f"{where}.{tier}.{unit.value}", "has no price")
    for tier, prices in row.long_tiers.items():
        for unit, price in row.tiers.get(tier, {}).items():
            # A ceiling takes the longest prompt that is possible, so a long prompt that
            # were cheaper than a short one would not be covered by it.
            if prices.get(unit, 0) < price:
                key = f"long_prompt.tiers.{tier}.{unit.value}"
                raise RateCardWrong(row.id, key, "a long prompt is cheaper than a short one")


def _only(model: str, table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise RateCardWrong(model, key, f"is not one of {', '.join(sorted(known))}")


def _unit(model: str, where: str, name: str) -> Unit:
    try:
        return Unit(name)
    except ValueError:
        raise RateCardWrong(model, f"{where}.{name}", "is not a unit we meter") from None


def _count(model: str, key: str, value: object) -> int:
    if type(value) is not int or value < 1:
        raise RateCardWrong(model, key, "must be a whole number above zero")
    return value


def _text(model: str, key: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 500:
        raise RateCardWrong(model, key, "must be a text of 1 to 500 characters")
    return value


def _moment(model: str, value: object) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise RateCardWrong(model, "valid_from", "is not a date such as 2026-11-22") from None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise RateCardWrong(model, "valid_from", "must be a date such as 2026-11-22")
