"""
The usage of a response, from OpenAI's object: tokens, and what its tools are billed for.

The details are parts of the totals, as in a chat completion; only the names are others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from metering.chat.stand_ins import TEXT_ONLY, with_stand_ins
from metering.chat.usage import PromptDetails, Reported, Tokens, disjoint
from metering.families import TOOL_UNITS
from metering.prices import Prices, Rate
from metering.responses.tools import MOST_TOOL_CALLS, SEARCHES_A_CALL
from metering.usage import Unit, Usage


class _Totals(msgspec.Struct, gc=False):
    """OpenAI's usage object without its details."""

    input_tokens: Tokens
    output_tokens: Tokens


class _Reported(_Totals, gc=False):
    """OpenAI's usage object; reasoning is inside the output already."""

    input_tokens_details: PromptDetails | None = None


_reported = msgspec.json.Decoder(_Reported)
_totals = msgspec.json.Decoder(_Totals)


def read_usage(
    raw: bytes | msgspec.Raw, flagged: list[str], prices: Prices = TEXT_ONLY
) -> Usage | None:
    """
    The tokens that OpenAI reported, or None when its totals are not to be believed.

    When only the details are impossible, all input is taken as plain: the totals are still
    OpenAI's, and counting could not see the reasoning. What was odd is added to `flagged`.

    Args:
        prices: Of the model; a token of another unit is counted as what stands in for it.
    """
    try:
        usage = _reported.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _totals_only(raw, flagged)
    reported = Reported(usage.input_tokens, usage.output_tokens, usage.input_tokens_details)
    return with_stand_ins(disjoint(reported, flagged), prices, flagged)


def _totals_only(raw: bytes | msgspec.Raw, flagged: list[str]) -> Usage | None:
    try:
        totals = _totals.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        flagged.append("usage_not_understood")
        return None
    flagged.append("usage_details_not_understood")
    return Usage({Unit.INPUT: totals.input_tokens, Unit.OUTPUT: totals.output_tokens})


class ToolCalls:
    """What the tools of one response were used for, by its output items."""

    def __init__(self) -> None:
        self._items: dict[object, Mapping[str, Any]] = {}

    def add(self, place: int, item: Mapping[str, Any]) -> None:
        """Note an output item; a later state of the same item replaces the earlier one."""
        if item.get("type") in _BILLED:
            name = item.get("id")
            self._items[name if isinstance(name, str) else place] = item

    def units(self) -> dict[Unit, int]:
        """How many of each unit: searches, file searches, containers."""
        counts: dict[Unit, int] = {}
        containers: set[object] = set()
        for place, item in self._items.items():
            kind = item["type"]
            if kind == "code_interpreter_call":
                containers.add(item.get("container_id") or place)
            elif kind == "file_search_call":
                counts[Unit.FILE_SEARCHES] = counts.get(Unit.FILE_SEARCHES, 0) + 1
            elif _searches(item):
                counts[Unit.WEB_SEARCHES] = counts.get(Unit.WEB_SEARCHES, 0) + 1
        return counts | ({Unit.CONTAINERS: len(containers)} if containers else {})


_BILLED = frozenset({"web_search_call", "file_search_call", "code_interpreter_call"})


def _searches(item: Mapping[str, Any]) -> bool:
    """Whether a web_search_call is billed: opening a page and looking in it are not."""
    action = item.get("action")
    kind = action.get("type") if isinstance(action, dict) else None
    return kind not in ("open_page", "find_in_page", "find")


def searches_reported(tool_usage: Any, flagged: list[str]) -> int | None:
    """`tool_usage.web_search.num_requests`; None when it is not there or no count."""
    search = tool_usage.get("web_search") if isinstance(tool_usage, dict) else None
    requests = search.get("num_requests") if isinstance(search, dict) else None
    if requests is None:
        return None
    if type(requests) is not int or not 0 <= requests <= MOST_TOOL_CALLS * SEARCHES_A_CALL:
        flagged.append("tool_usage_not_understood")
        return None
    return requests


def priced(units: Mapping[Unit, int], rate: Rate, flagged: list[str]) -> dict[Unit, int]:
    """
    The same uses of tools in units that the rate has a price for.

    A tool that was not asked for, and has no price, counts as the dearest one that has.
    """
    found: dict[Unit, int] = {}
    for unit, count in units.items():
        if not rate.prices(unit):
            if (flag := f"{unit.value}_not_priced") not in flagged:
                flagged.append(flag)
            others = [tool for tool in TOOL_UNITS if rate.prices(tool)]
            if not others:
                continue
            unit = max(others, key=lambda tool: rate.short[tool])
        found[unit] = found.get(unit, 0) + count
    return found
