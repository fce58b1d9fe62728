"""
The fields of a moderation call.

The list is that of the official SDK (openai 3.54, `moderation_create_params`). OpenAI bills
none of it, so texts and images may be of any kind; an unknown field may be billed one day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metering.chat.checks import Check, read_known, string, wrong
from metering.errors import BodyNotUnderstood, CostNotBounded

_KEYS = {"text": frozenset({"type", "text"}), "image_url": frozenset({"type", "image_url"})}


def read_fields(fields: Mapping[str, Any]) -> None:
    """
    Check every field of a moderation call.

    Raises:
        BodyNotUnderstood: A field is not what OpenAI documents.
        CostNotBounded: A field or a part is not known to us.
    """
    read_known(fields, _FIELDS, "a moderation call")
    if fields.get("input") is None:
        raise BodyNotUnderstood("input is missing; it must be a text or a list", "input")


def _input(name: str, value: Any) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        raise wrong(name, value, "a text, a list of texts, or a list of parts")
    for place, one in enumerate(value):
        if not isinstance(one, str):
            _part(f"{name}[{place}]", one)


def _part(where: str, part: Any) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise BodyNotUnderstood(f"{where} must be a text or a part with a type", where)
    known = _KEYS.get(kind)
    if known is None:
        raise CostNotBounded(f"{where}.type", "is not a kind of part that we know")
    for key in part:
        if key not in known:
            raise CostNotBounded(f"{where}.{key[:64]}", "is not a field we know")
    if kind == "text":
        string(f"{where}.text", part.get("text"))
        return
    image = part.get("image_url")
    if not isinstance(image, dict) or image.keys() != {"url"}:
        raise BodyNotUnderstood(f"{where}.image_url must be an object with a url", where)
    string(f"{where}.image_url.url", image["url"])


_FIELDS: dict[str, Check] = {"input": _input, "model": string}
