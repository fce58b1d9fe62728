"""The messages of a chat completion: their fields, and the parts that a content can have."""

from __future__ import annotations

from typing import Any

from metering.chat.audio import read_audio
from metering.chat.checks import Check, shallow, string, table, wrong
from metering.chat.files import read_file
from metering.chat.images import read_image
from metering.errors import BodyNotUnderstood, CostNotBounded

_ROLES = frozenset({"developer", "system", "user", "assistant", "tool", "function"})
_MESSAGE_KEYS = frozenset(
    {
        "role", "content", "name", "refusal", "tool_calls", "tool_call_id", "function_call",
        "audio", "annotations",
    }
)  # fmt: skip
_CACHE_TTLS = frozenset({"30m", "12h"})


def read_messages(name: str, value: Any) -> None:
    if not isinstance(value, list) or not value:
        raise wrong(name, value, "a list of one or more messages")
    for number, message in enumerate(value):
        _message(f"{name}[{number}]", message)


def _message(where: str, message: Any) -> None:
    if not isinstance(message, dict):
        raise wrong(where, message, "an object")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise BodyNotUnderstood(
            f"{where}.role must be one of {', '.join(sorted(_ROLES))}", f"{where}.role"
        )
    for key, value in message.items():
        if key not in _MESSAGE_KEYS:
            raise CostNotBounded(f"{where}.{key[:64]}", "is not a field of a message we know")
        if key == "content":
            if not isinstance(value, str) and value is not None:
                read_parts(f"{where}.content", value, _PARTS)
        elif value is None or key == "role":
            continue
        elif key == "audio":
            raise CostNotBounded(f"{where}.audio", "refers to audio that is not in the body")
        elif key in ("name", "refusal", "tool_call_id"):
            string(f"{where}.{key}", value)
        else:
            shallow(f"{where}.{key}", value)


def read_parts(where: str, parts: Any, known: dict[str, Check]) -> None:
    """Check a list of parts, each of a kind that is `known`."""
    if not isinstance(parts, list):
        raise wrong(where, parts, "a text or a list of parts")
    for number, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            raise BodyNotUnderstood(f"{where}[{number}] must be a part with a type", where)
        check = known.get(kind)
        if check is None:
            raise CostNotBounded(
                kind[:64], f"is not a kind of part whose cost is known (at {where}[{number}])"
            )
        _part(f"{where}[{number}]", part, kind, check)


def _part(where: str, part: dict[str, Any], kind: str, check: Check) -> None:
    for key, value in part.items():
        if key == "prompt_cache_breakpoint":
            cache_options(f"{where}.{key}", value)
        elif key not in ("type", kind):
            raise CostNotBounded(f"{where}.{key[:64]}", "is not a field we know")
    check(f"{where}.{kind}", part.get(kind))


TEXT_PARTS: dict[str, Check] = {"text": string}
_PARTS = TEXT_PARTS | {
    "refusal": string,
    "image_url": read_image,
    "input_audio": read_audio,
    "file": read_file,
}


def cache_options(name: str, value: Any) -> None:
    for key, option in table(name, value).items():
        if key == "comparison_response_id":
            raise CostNotBounded(f"{name}.{key}", "refers to a response that may not be yours")
        if key not in ("mode", "ttl"):
            raise CostNotBounded(f"{name}.{key[:64]}", "is not an option we know")
        string(f"{name}.{key}", option)
        if key == "ttl" and option not in _CACHE_TTLS:
            raise CostNotBounded(f"{name}.ttl", "only 30m and 12h have a price")
