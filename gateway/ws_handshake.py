"""
What a websocket's handshake asks for: which endpoint, with which key, and what is passed on.

A browser can set no header, so OpenAI takes the key as a subprotocol too. It is read here
and goes nowhere: not to OpenAI, not back in the handshake, not into a log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from gateway.errors import NotAuthenticated, RequestRefused, UpgradeRefused

Headers = list[tuple[bytes, bytes]]

KEY_PROTOCOL = "openai-insecure-api-key."
BETA_PROTOCOL = "openai-beta.realtime-v1"

# Answered when the caller offers it; a browser gives up when none of its offers is taken.
CHOSEN = ("realtime", "responses")

_BETA = re.compile(r"realtime=v1|responses_websockets=[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MODEL = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")


@dataclass(frozen=True, slots=True)
class Handshake:
    """
    A handshake, read.

    `headers` are the caller's, with the key in Authorization wherever it was sent;
    `query` and `beta` are what may be passed on; `protocol` is what is answered.
    """

    headers: Headers
    query: dict[str, str]
    beta: tuple[str, ...]
    protocol: str | None

    @property
    def upstream_headers(self) -> list[tuple[str, str]]:
        """What OpenAI is told of the caller's headers."""
        return [("OpenAI-Beta", ",".join(self.beta))] if self.beta else []


def read_handshake(scope: dict[str, Any], *, queries: frozenset[str]) -> Handshake:
    """
    Read the head of a websocket.

    Args:
        queries: The names that the endpoint's query may have.

    Raises:
        NotAuthenticated: There are two keys.
        RequestRefused: The query has what is not passed on.
        UpgradeRefused: It asks for another kind of session.
    """
    offered = [str(name) for name in scope.get("subprotocols", ())]
    headers = _with_key(list(scope["headers"]), offered)
    return Handshake(
        headers=headers,
        query=_query(scope["query_string"], queries),
        beta=_beta(headers, offered),
        protocol=next((name for name in CHOSEN if name in offered), None),
    )


def _with_key(headers: Headers, offered: list[str]) -> Headers:
    keys = [name.removeprefix(KEY_PROTOCOL) for name in offered if name.startswith(KEY_PROTOCOL)]
    kept = [(name, value) for name, value in headers if name != b"sec-websocket-protocol"]
    if not keys:
        return kept
    if len(keys) > 1 or any(name == b"authorization" for name, _ in kept):
        raise NotAuthenticated("send one key: in Authorization, or as a subprotocol")
    return [*kept, (b"authorization", b"Bearer " + keys[0].encode("latin-1", "replace"))]


def _beta(headers: Headers, offered: list[str]) -> tuple[str, ...]:
    """The values of OpenAI-Beta that may be passed on; what is not known is left out."""
    given = [
        token.strip()
        for name, value in headers
        if name == b"openai-beta"
        for token in value.decode("latin-1").split(",")
    ]
    if BETA_PROTOCOL in offered:
        given.append("realtime=v1")
    return tuple(dict.fromkeys(token for token in given if _BETA.fullmatch(token)))


def _query(raw: bytes, allowed: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        if name in ("call_id", "intent"):
            raise UpgradeRefused(
                f"sessions with `{name}` are part of OpenAI's API; this gateway refuses them: "
                "they cannot be metered response by response"
            )
        if name not in allowed or name in found:
            shown = ", ".join(sorted(allowed)) or "nothing"
            raise RequestRefused(f"the query of this websocket may have {shown}, once")
        found[name] = value
    for name in sorted(allowed):
        if not _MODEL.fullmatch(found.get(name, "")):
            raise RequestRefused(
                f"name a {name} in the query, as in ?{name}=gpt-realtime", param=name
            )
    return found
