"""Writes `rate_card.toml`: the head of the file is kept, every model is written anew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_LIMITS = ("context_window", "max_input", "max_output")


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Replace the card in one step, so that nobody ever reads half of one."""
    head = _head(path)
    lines = [*_tools(card), *(line for model in card["model"] for line in _model(model))]
    text = head + "".join(f"{line}\n" for line in lines)
    beside = path.with_suffix(".toml.new")
    beside.write_text(text, "utf-8")
    beside.replace(path)


def _head(path: Path) -> str:
    """The comment at the top of the file: it says how to read it."""
    if not path.exists():
        return ""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    head = []
    for line in lines:
        if not line.startswith("#"):
            break
        head.append(line)
    return "".join(head)


def _tools(card: Mapping[str, Any]) -> Iterator[str]:
    if "tools" in card:
        yield ""
        yield "[tools]"
        for unit, price in card["tools"].items():
            yield f"{unit} = {_value(price)}"


def _model(model: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield "[[model]]"
    yield f"id = {_value(model['id'])}"
    for key in ("aliases", "serves", "encoding"):
        if key in model:
            yield f"{key} = {_value(model[key])}"
    for key in _LIMITS:
        yield f"{key} = {model[key]:_}"
    for row in sorted(model["row"], key=lambda row: row["valid_from"]):
        yield from _row(row)


def _row(row: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield "[[model.row]]"
    yield f"valid_from = {row['valid_from'].isoformat()}"
    for key in ("source", "note"):
        if row.get(key):
            yield f"{key} = {_value(row[key])}"
    yield from _tiers("model.row.tiers", row["tiers"])
    if "long_prompt" in row:
        yield "[model.row.long_prompt]"
        yield f"over = {row['long_prompt']['over']:_}"
        yield from _tiers("model.row.long_prompt.tiers", row["long_prompt"]["tiers"])
    if row.get("decided"):
        yield "[model.row.decided]"
        for key, why in row["decided"].items():
            yield f"{_value(key)} = {_value(why)}"


def _tiers(title: str, tiers: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    yield f"[{title}]"
    for tier, prices in tiers.items():
        shown = ", ".join(f"{unit} = {_value(price)}" for unit, price in prices.items())
        yield f"{tier} = {{ {shown} }}" if shown else f"{tier} = {{}}"


def _value(value: str | list[str]) -> str:
    # A JSON text or list of texts is a TOML one, as long as it is printable.
    return json.dumps(value, ensure_ascii=False)
