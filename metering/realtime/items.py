"""The items of a realtime conversation: only parts whose cost is bounded are let through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from metering.chat.checks import shallow, string, table, wrong
from metering.errors import BodyNotUnderstood, CostNotBounded

Allowed = frozenset[str]

_ITEM_KEYS = {
    "message": frozenset({"type", "id", "object", "status", "role", "content"}),
    "function_call": frozenset({"type", "id", "object", "status", "call_id", "name", "arguments"}),
    "function_call_output": frozenset({"type", "id", "object", "status", "call_id", "output"}),
    "item_reference": frozenset({"type", "id"}),
}
_PART_KEYS = {
    "input_text": frozenset({"type", "text"}),
    "text": frozenset({"type", "text"}),
    "output_text": frozenset({"type", "text"}),
    "input_audio": frozenset({"type", "audio", "transcript"}),
    "audio": frozenset({"type", "audio", "transcript"}),
    "output_audio": frozenset({"type", "audio", "transcript"}),
    "input_image": frozenset({"type", "image_url", "detail"}),
}
_MCP = "mcp_"


def read_items(name: str, value: Any, allowed: Allowed) -> None:
    """The input of one response."""
    if not isinstance(value, list):
        raise wrong(name, value, "a list of items")
    for place, item in enumerate(value):
        read_item(f"{name}[{place}]", item, allowed)


def read_item(name: str, value: Any, allowed: Allowed) -> None:
    """
    One item.

    Raises:
        BodyNotUnderstood, CostNotBounded
    """
    item = table(name, value)
    kind = item.get("type")
    if isinstance(kind, str) and kind.startswith(_MCP) and "mcp" in allowed:
        shallow(name, item)
        return
    known = _ITEM_KEYS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise CostNotBounded(f"{name}.type", "is not a kind of item whose cost is known")
    for key, field in item.items():
        if key not in known:
            raise CostNotBounded(f"{name}.{key[:64]}", "is not a field of an item we know")
        if key == "content":
            _parts(f"{name}.content", field, allowed)
        elif field is not None:
            string(f"{name}.{key}", field)


def images_in(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every image in a checked frame: what it costs is not known from its bytes."""
    if isinstance(value, dict):
        if value.get("type") == "input_image":
            yield value
        for child in value.values():
            yield from images_in(child)
    elif isinstance(value, list):
        for child in value:
            yield from images_in(child)


def _parts(name: str, parts: Any, allowed: Allowed) -> None:
    if not isinstance(parts, list):
        raise wrong(name, parts, "a list of parts")
    for place, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            raise BodyNotUnderstood(f"{name}[{place}] must be a part with a type", name)
        known = _PART_KEYS.get(kind)
        if known is None:
            raise CostNotBounded(f"{name}[{place}].type", "is not a kind of part we know")
        for key, value in part.items():
            if key not in known:
                raise CostNotBounded(f"{name}[{place}].{key[:64]}", "is not a field we know")
            if value is not None:
                string(f"{name}[{place}].{key}", value)
        if kind == "input_image":
            _image(f"{name}[{place}].image_url", part.get("image_url"), allowed)


def _image(name: str, url: Any, allowed: Allowed) -> None:
    if isinstance(url, str) and url[:5].lower() == "data:":
        return
    if "urls" not in allowed:
        raise CostNotBounded(name, "what is behind an address is not known; send a data URL")
