"""
The table: each OpenAI operation we serve, and why we refuse each of the others.

Everything is refused that is not named here. A path is matched raw, as it came in, with
exact templates and an id alphabet without `%`, `/`, `;` and `\\`; what is sent upstream is
built from the template, never from the path.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from gateway.errors import (
    EndpointNotSupported,
    MethodNotAllowed,
    PathUnknown,
    UpgradeRefused,
)
from metering.meters.chat_completions import ChatCompletions
from metering.meters.completions import Completions
from metering.meters.embeddings import Embeddings
from metering.meters.images import Images
from metering.meters.meter import Meter
from metering.meters.moderations import Moderations
from metering.meters.realtime import Realtime, RealtimeTranscripts
from metering.meters.responses import Responses, ResponsesCompact, ResponsesInputTokens
from metering.meters.speech import Speech
from metering.meters.transcriptions import Transcriptions

PREFIX = "/v1"
_ID = r"[A-Za-z0-9_.:-]{1,128}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    An operation of OpenAI that is held, forwarded, metered and settled.

    `default_model` is written into a body that names none, where OpenAI has such a default.
    `body` is how its body comes; `binary` says that its reply may be neither JSON nor events.
    """

    name: str
    method: str
    path: str
    meter: Meter
    default_model: str | None = None
    body: Literal["json", "multipart"] = "json"
    binary: bool = False


CHAT_COMPLETIONS = Endpoint("chat.completions", "POST", "/chat/completions", ChatCompletions())
RESPONSES = Endpoint("responses", "POST", "/responses", Responses())
RESPONSES_COMPACT = Endpoint("responses.compact", "POST", "/responses/compact", ResponsesCompact())
RESPONSES_INPUT_TOKENS = Endpoint(
    "responses.input_tokens", "POST", "/responses/input_tokens", ResponsesInputTokens()
)
COMPLETIONS = Endpoint("completions", "POST", "/completions", Completions())
EMBEDDINGS = Endpoint("embeddings", "POST", "/embeddings", Embeddings())
MODERATIONS = Endpoint(
    "moderations", "POST", "/moderations", Moderations(), default_model="omni-moderation-latest"
)

_MEDIA = (
    Endpoint("images.generations", "POST", "/images/generations", Images("generations")),
    Endpoint("images.edits", "POST", "/images/edits", Images("edits"), body="multipart"),
    Endpoint(
        "images.variations", "POST", "/images/variations", Images("variations"), body="multipart"
    ),
    Endpoint("audio.speech", "POST", "/audio/speech", Speech(), binary=True),
    Endpoint(
        "audio.transcriptions",
        "POST",
        "/audio/transcriptions",
        Transcriptions("transcriptions"),
        body="multipart",
    ),
    Endpoint(
        "audio.translations",
        "POST",
        "/audio/translations",
        Transcriptions("translations"),
        body="multipart",
    ),
)

METERED = {
    (endpoint.method, PREFIX + endpoint.path): endpoint
    for endpoint in (
        CHAT_COMPLETIONS,
        RESPONSES,
        RESPONSES_COMPACT,
        RESPONSES_INPUT_TOKENS,
        COMPLETIONS,
        EMBEDDINGS,
        MODERATIONS,
        *_MEDIA,
    )
}
"""(method, raw path) → endpoint: the one look-up on the way of a call."""


@dataclass(frozen=True, slots=True)
class SocketEndpoint:
    """
    A websocket of OpenAI's, whose responses are held and settled one by one.

    `name` is the meter of its responses; `queries` are what its query must have; `switch` is
    what must be switched on for the business.
    """

    name: str
    path: str
    queries: frozenset[str] = frozenset()
    switch: str | None = None


SOCKETS = {
    PREFIX + socket.path: socket
    for socket in (
        SocketEndpoint("realtime", "/realtime", frozenset({"model"}), "realtime"),
        SocketEndpoint("responses", "/responses"),
    )
}
"""Raw path → websocket. An upgrade of any other path is refused with 426."""

METERS: dict[str, Meter] = {
    **{endpoint.name: endpoint.meter for endpoint in METERED.values()},
    "realtime": Realtime(),
    "realtime.transcripts": RealtimeTranscripts(),
}
"""Name of an endpoint → its meter."""

OWN = (
    ("GET", "/v1/models"),
    ("GET", "/v1/credits"),
    ("POST", "/v1/credits/estimate"),
    ("GET", "/v1/generation"),
)
"""Answered by the gateway itself, as is GET /v1/models/{model}."""

REASONS = {
    "administration": "it administers the OpenAI account that all businesses share",
    "bypasses_metering": "it hands out a key or a direct path to OpenAI that cannot be metered",
    "deprecated": "OpenAI has deprecated it",
    "not_isolated": "its objects are not kept apart between businesses here",
    "not_metered": "what it costs cannot be metered call by call",
    "not_switched_on": "it is not switched on for this business",
    "not_yet": "this gateway does not meter it yet",
    "retired": "OpenAI has retired it",
    "runs_by_itself": "it goes on using credits after the call has ended",
    "shows_other_businesses": "it would show what other businesses do",
}


def _pattern(template: str) -> re.Pattern[str]:
    parts = (_ID if part.startswith("{") else re.escape(part) for part in template.split("/"))
    return re.compile(PREFIX + "/".join(parts))


def _refused_operations() -> list[tuple[str, re.Pattern[str], str]]:
    text = (resources.files("gateway") / "refused_operations.tsv").read_text()
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    return [(row["method"], _pattern(row["path"]), REASONS[row["reason"]]) for row in rows]


_REFUSED = _refused_operations()
_SERVED = [(method, re.compile(re.escape(path))) for method, path in (*METERED, *OWN)]
_MODEL = re.compile(rf"{PREFIX}/models/({_ID})")


def model_in(path: str) -> str | None:
    """The model that GET /v1/models/{model} asks for; None when the path is another."""
    found = _MODEL.fullmatch(path)
    return found[1] if found else None


def refuse(method: str, path: str, *, methods: Iterable[str] = ()) -> Exception:
    """
    Why an operation is not served.

    Args:
        methods: Those that the path has besides what stands in this file.

    Returns:
        EndpointNotSupported for what OpenAI knows, MethodNotAllowed for a known path
        with another method, PathUnknown for the rest.
    """
    methods = {known for known, pattern in _SERVED if pattern.fullmatch(path)} | set(methods)
    if model_in(path):
        methods.add("GET")
    for known, pattern, reason in _REFUSED:
        if pattern.fullmatch(path):
            if known == method:
                return EndpointNotSupported(
                    f"{method} {path} is part of OpenAI's API; this gateway refuses it: {reason}"
                )
            if known != "WS":
                methods.add(known)
    if methods:
        return MethodNotAllowed(
            f"{method} is not a method of {path}; it has {', '.join(sorted(methods))}",
            allowed=tuple(sorted(methods)),
        )
    return PathUnknown(f"there is no {_shown(path)} here; see docs/endpoints.md for what is served")


def not_switched_on(method: str, path: str, switches: Iterable[str]) -> EndpointNotSupported:
    """Why an operation is refused that some businesses have."""
    needed = " or ".join(sorted(switches))
    return EndpointNotSupported(
        f"{method} {path} needs {needed}; this gateway refuses it: {REASONS['not_switched_on']}"
    )


def refuse_upgrade(path: str) -> Exception:
    """426 for every websocket: clients that can then fall back to HTTPS do so at once."""
    return UpgradeRefused(
        f"{_shown(path)} is not served over a websocket here; use HTTPS, without `Upgrade`"
    )


def _shown(path: str) -> str:
    return ascii(path[:100])
