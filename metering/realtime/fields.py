"""
The frames that a client of a realtime session may send: which are known, and which could cost.

An unknown frame or field is refused, because it may cost. The lists are those of the official
SDK (openai 3.51, `types/realtime` and, for `OpenAI-Beta: realtime=v1`, `types/beta/realtime`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from metering.chat.checks import Check, boolean, never, number, shallow, string, table, whole, wrong
from metering.errors import BodyNotUnderstood, CostNotBounded
from metering.realtime.items import read_item, read_items

Allowed = frozenset[str]
Switched = Callable[[str, Any, Allowed], None]

MOST_OUTPUT_TOKENS = 2**31
LIMITS = ("max_output_tokens", "max_response_output_tokens")
"""The output limit's name, now and in the beta."""


def read_event(event: Mapping[str, Any], allowed: Allowed) -> None:
    """
    Check a frame of the client.

    Raises:
        BodyNotUnderstood: A field is not what OpenAI documents.
        CostNotBounded: The frame, or a part of it, may cost what nothing is held for.
    """
    kind = event["type"]
    known = _EVENTS.get(kind)
    if known is None:
        raise CostNotBounded(str(kind)[:64], "is not a frame of a session that the gateway knows")
    for name, value in event.items():
        if name in ("type", "event_id"):
            continue
        check = known.get(name)
        if check is None:
            raise CostNotBounded(name[:64], f"is not a field of {kind} that the gateway knows")
        if value is not None:
            check(name, value, allowed)


def read_session(name: str, value: Any, allowed: Allowed) -> None:
    """A session's settings, of `session.update`."""
    _fields(name, value, _SESSION, allowed)


def read_response(name: str, value: Any, allowed: Allowed) -> None:
    """The settings of one response, of `response.create`."""
    _fields(name, value, _RESPONSE, allowed)


def limit_of(settings: Mapping[str, Any]) -> int | str | None:
    """The output limit in a session's or a response's settings: a number, "inf", or None."""
    for name in LIMITS:
        limit: int | str | None = settings.get(name)
        if limit is not None:
            return limit
    return None


def _fields(name: str, value: Any, known: Mapping[str, Switched], allowed: Allowed) -> None:
    for key, field in table(name, value).items():
        check = known.get(key)
        if check is None:
            raise CostNotBounded(f"{name}.{key[:64]}", "is not a field that the gateway knows")
        if field is not None:
            check(f"{name}.{key}", field, allowed)


def _any(check: Check) -> Switched:
    return lambda name, value, allowed: check(name, value)


def _limit(name: str, value: Any) -> None:
    if value != "inf":
        whole(1, MOST_OUTPUT_TOKENS)(name, value)


def _kind(name: str, value: Any) -> None:
    if value != "realtime":
        raise CostNotBounded(name, "only sessions of the type realtime are metered")


def _modalities(name: str, value: Any) -> None:
    if not isinstance(value, list) or any(kind not in ("text", "audio") for kind in value):
        raise wrong(name, value, "a list of text and audio")


def _voice(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise CostNotBounded(name, "only the voices that every one may use are served")


def _tools(name: str, value: Any, allowed: Allowed) -> None:
    if not isinstance(value, list):
        raise wrong(name, value, "a list of tools")
    for place, tool in enumerate(value):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if not isinstance(kind, str):
            raise BodyNotUnderstood(f"{name}[{place}] must be a tool with a type", name)
        if kind != "function" and not (kind == "mcp" and "mcp" in allowed):
            why = "only tools that your own app runs are bounded, or what is switched on for you"
            raise CostNotBounded(f"{name}[{place}].type", why)
        shallow(f"{name}[{place}]", tool)


def _audio(name: str, value: Any, allowed: Allowed) -> None:
    _fields(name, value, _AUDIO, allowed)


def _audio_input(name: str, value: Any, allowed: Allowed) -> None:
    _fields(name, value, _AUDIO_INPUT, allowed)


def _audio_output(name: str, value: Any, allowed: Allowed) -> None:
    _fields(name, value, _AUDIO_OUTPUT, allowed)


def _turn_detection(name: str, value: Any, allowed: Allowed) -> None:
    _fields(name, value, _TURN_DETECTION, allowed)


def _transcription(name: str, value: Any, allowed: Allowed) -> None:
    _fields(name, value, _TRANSCRIPTION, allowed)
    if not isinstance(value.get("model"), str):
        raise CostNotBounded(f"{name}.model", "must be named, so that its price is known")


_TEMPLATE = never("a template hides its text, its tools and even its model")

_TRANSCRIPTION: dict[str, Switched] = {
    "delay": _any(string),
    "keywords": _any(shallow),
    "language": _any(string),
    "languages": _any(shallow),
    "model": _any(string),
    "prompt": _any(string),
}
_TURN_DETECTION: dict[str, Switched] = {
    "create_response": _any(boolean),
    "eagerness": _any(string),
    "idle_timeout_ms": _any(whole(1, 10**7)),
    "interrupt_response": _any(boolean),
    "prefix_padding_ms": _any(whole(0, 10**7)),
    "silence_duration_ms": _any(whole(0, 10**7)),
    "threshold": _any(number(0, 1)),
    "type": _any(string),
}
_AUDIO_INPUT: dict[str, Switched] = {
    "format": _any(shallow),
    "noise_reduction": _any(shallow),
    "transcription": _transcription,
    "turn_detection": _turn_detection,
}
_AUDIO_OUTPUT: dict[str, Switched] = {
    "format": _any(shallow),
    "speed": _any(number(0, 4)),
    "voice": _any(_voice),
}
_AUDIO: dict[str, Switched] = {"input": _audio_input, "output": _audio_output}

_BOTH: dict[str, Switched] = {
    "instructions": _any(string),
    "max_output_tokens": _any(_limit),
    "max_response_output_tokens": _any(_limit),
    "modalities": _any(_modalities),
    "output_audio_format": _any(string),
    "output_modalities": _any(_modalities),
    "parallel_tool_calls": _any(boolean),
    "prompt": _any(_TEMPLATE),
    "reasoning": _any(shallow),
    "temperature": _any(number(0, 2)),
    "tool_choice": _any(shallow),
    "tools": _tools,
    "voice": _any(_voice),
}
_SESSION: dict[str, Switched] = {
    **_BOTH,
    "audio": _audio,
    "include": _any(shallow),
    "input_audio_format": _any(string),
    "input_audio_noise_reduction": _any(shallow),
    "input_audio_transcription": _transcription,
    "model": _any(string),
    "speed": _any(number(0, 4)),
    "tracing": _any(shallow),
    "truncation": _any(shallow),
    "turn_detection": _turn_detection,
    "type": _any(_kind),
}
_RESPONSE: dict[str, Switched] = {
    **_BOTH,
    "audio": _audio,
    "conversation": _any(string),
    "input": read_items,
    "metadata": _any(shallow),
}

_EVENTS: dict[str, dict[str, Switched]] = {
    "conversation.item.create": {"item": read_item, "previous_item_id": _any(string)},
    "conversation.item.delete": {"item_id": _any(string)},
    "conversation.item.retrieve": {"item_id": _any(string)},
    "conversation.item.truncate": {
        "audio_end_ms": _any(whole(0, 2**53)),
        "content_index": _any(whole(0, 10**6)),
        "item_id": _any(string),
    },
    "input_audio_buffer.append": {"audio": _any(string)},
    "input_audio_buffer.clear": {},
    "input_audio_buffer.commit": {},
    "output_audio_buffer.clear": {},
    "response.cancel": {"response_id": _any(string)},
    "response.create": {"response": read_response},
    "session.update": {"session": read_session},
}
