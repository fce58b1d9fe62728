"""Script: what the stub OpenAI is told to do with a call, by a test or by the call itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

# What `gateway dev` shows to somebody who tries it without a key of OpenAI's.
FRIENDLY = (
    "Hello",
    " from the",
    " stub OpenAI.",
    " No model",
    " was asked",
    " and nothing",
    " was paid;",
    " set OPENAI_API_KEY",
    " to speak",
    " with the",
    " real one.",
)

OPENING = "[[stub "
CLOSING = "]]"


class ScriptWrong(ValueError):
    """A `[[stub {…}]]` that cannot be followed; the message says why."""


class Gate(Protocol):
    """What a reply waits at: an asyncio.Event, a Turnstile, or the like."""

    async def wait(self) -> Any:
        """Come back when the way is free."""


@dataclass(frozen=True)
class Script:
    """
    How one call is answered. As it is: the friendly sentence, counted and reported truly.

    Args:
        pieces: The text; each piece is one chunk of a stream.
        status, body, headers: An answer other than 200; without a body, OpenAI's own words.
        code: The error's code, when it is not the usual one of the status.
        tool: Name and arguments of a function to call in place of text.
        reports_usage: False: the reply has no usage. It is billed all the same.
        usage: OpenAI's usage object, reported and billed in place of the true one.
        worst: Bill as many output tokens as the call allows.
        cached_tokens, cache_write_tokens, cache_write_12h_tokens: Parts of the prompt.
        cached_parts: What `cached_tokens` are of, as in {"audio_tokens": 5}.
        found_tokens: Input that is not in the body: what a search finds, or an address shows.
        searches: How many of the web are billed, and reported; else one that is not.
        reasoning_tokens: Billed output, for each choice, that is not seen.
        breaks_after: Close the connection after this many chunks of text (JSON: half way).
        hangs: Take the call and never answer.
        closes: Take the call and close the connection.
        bills_cut: Whether a call that breaks, hangs or is closed upon is billed nevertheless.
        latency_s, delay_s: Wait before the reply, and before each chunk.
        gate, between: Wait there before the reply, and before each chunk.
        before_usage: Wait there when all text is sent and billed, before a stream tells its usage.
        model, tier: What the reply names, when it is not what was asked for.
        says_done: False: a stream ends without `[DONE]`, or without its last event.
        web_searches, file_searches, containers: Uses of OpenAI's tools in a response.
        tells_tool_usage: False: a response does not sum them up in `tool_usage`.
        polls: How often a response in the background is asked for until it ends; None: never.
        ends: How a response ends: "completed", "incomplete", "failed", or "error" for an
            error in the middle of a stream.
        picture_bytes: How long each picture is.
        seconds: How long an uploaded sound is, or speech; else by its bytes, or its text.
        unasked: Over a websocket, begin a further response that nobody has asked for.
    """

    pieces: tuple[str, ...] = FRIENDLY
    status: int = 200
    body: bytes | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    code: str | None = None
    tool: tuple[str, str] | None = None
    reports_usage: bool = True
    usage: Mapping[str, Any] | None = None
    worst: bool = False
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_12h_tokens: int = 0
    cached_parts: Mapping[str, int] | None = None
    found_tokens: int = 0
    searches: int | None = None
    reasoning_tokens: int = 0
    breaks_after: int | None = None
    hangs: bool = False
    closes: bool = False
    bills_cut: bool = True
    latency_s: float = 0.0
    delay_s: float = 0.0
    gate: Gate | None = field(default=None, compare=False)
    between: Gate | None = field(default=None, compare=False)
    before_usage: Gate | None = field(default=None, compare=False)
    model: str | None = None
    tier: str = "default"
    says_done: bool = True
    web_searches: int = 0
    file_searches: int = 0
    containers: int = 0
    tells_tool_usage: bool = True
    ends: str = "completed"
    polls: int | None = 1
    picture_bytes: int = 3000
    seconds: float | None = None
    unasked: bool = False


def from_call(fields: Mapping[str, Any], script: Script) -> Script:
    """
    The script of one call: `script`, changed by what a user message says.

    A message that begins with `[[stub {"status": 500}]]` rides on the call, so a stub in
    another process can be told too. What can be said is in `SAYINGS`, and "usage": null.

    Raises:
        ScriptWrong: The text is not such an object, or has an unknown name.
    """
    given = fields["messages"] if "messages" in fields else fields.get("input")
    for message in reversed(given if isinstance(given, list) else [{"content": given}]):
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str) and content.startswith(OPENING):
            return _changed(script, _sayings(content))
    return script


def _sayings(content: str) -> dict[str, Any]:
    try:
        said, end = json.JSONDecoder().raw_decode(content, len(OPENING))
    except ValueError as error:
        raise ScriptWrong(f"the stub's script is not JSON: {error}") from error
    if not isinstance(said, dict) or not content[end:].startswith(CLOSING):
        raise ScriptWrong("the stub's script is [[stub {an object}]]")
    return said


def _changed(script: Script, said: Mapping[str, Any]) -> Script:
    changes: dict[str, Any] = {}
    for name, value in said.items():
        if name not in SAYINGS:
            raise ScriptWrong(f"the stub's script has no {name!r}; it has {', '.join(SAYINGS)}")
        try:
            changes |= SAYINGS[name](value)
        except (TypeError, ValueError) as error:
            raise ScriptWrong(f"the stub's script: {name}: {error}") from error
    return replace(script, **changes)


def _usage(value: Any) -> dict[str, Any]:
    return {"reports_usage": False} if value is None else {"usage": dict(value)}


def _headers(value: Mapping[str, str]) -> dict[str, Any]:
    pairs = value.items()
    return {"headers": tuple((name.encode(), text.encode("latin-1")) for name, text in pairs)}


SAYINGS: Mapping[str, Any] = {
    "text": lambda value: {"pieces": (str(value),)},
    "pieces": lambda value: {"pieces": tuple(map(str, value))},
    "chunks": lambda value: {"pieces": (" word",) * int(value)},
    "status": lambda value: {"status": int(value)},
    "body": lambda value: {"body": json.dumps(value).encode()},
    "headers": _headers,
    "code": lambda value: {"code": str(value)},
    "tool": lambda value: {"tool": (str(value["name"]), str(value["arguments"]))},
    "usage": _usage,
    "worst": lambda value: {"worst": bool(value)},
    "cached_tokens": lambda value: {"cached_tokens": int(value)},
    "cache_write_tokens": lambda value: {"cache_write_tokens": int(value)},
    "cache_write_12h_tokens": lambda value: {"cache_write_12h_tokens": int(value)},
    "cached_parts": lambda value: {"cached_parts": dict(value)},
    "found_tokens": lambda value: {"found_tokens": int(value)},
    "searches": lambda value: {"searches": int(value)},
    "reasoning_tokens": lambda value: {"reasoning_tokens": int(value)},
    "breaks_after": lambda value: {"breaks_after": int(value)},
    "hangs": lambda value: {"hangs": bool(value)},
    "closes": lambda value: {"closes": bool(value)},
    "bills_cut": lambda value: {"bills_cut": bool(value)},
    "latency_ms": lambda value: {"latency_s": float(value) / 1000},
    "delay_ms": lambda value: {"delay_s": float(value) / 1000},
    "model": lambda value: {"model": str(value)},
    "tier": lambda value: {"tier": str(value)},
    "says_done": lambda value: {"says_done": bool(value)},
    "web_searches": lambda value: {"web_searches": int(value)},
    "file_searches": lambda value: {"file_searches": int(value)},
    "containers": lambda value: {"containers": int(value)},
    "tells_tool_usage": lambda value: {"tells_tool_usage": bool(value)},
    "ends": lambda value: {"ends": str(value)},
}
