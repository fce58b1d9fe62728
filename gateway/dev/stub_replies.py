"""What OpenAI's replies look like: bodies, events and headers, as documented in November 2026."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.dev.stub_generation import Generation

FINGERPRINT = "fp_57ab0c0d1e"
SPEECH = "AAAA" * 64  # Silence, in base64.
CITATION = {
    "type": "url_citation",
    "url_citation": {
        "start_index": 0,
        "end_index": 5,
        "title": "Example",
        "url": "https://example.com/?utm_source=openai",
    },
}
DONE = b"data: [DONE]\n\n"
KEYS_PAGE = "https://platform.openai.com/account/api-keys"

# status → message, type, code
ERRORS: Mapping[int, tuple[str, str, str | None]] = {
    400: ("We could not understand your request.", "invalid_request_error", None),
    401: (
        f"Incorrect API key provided: sk-stub*****key. You can find your API key at {KEYS_PAGE}.",
        "invalid_request_error",
        "invalid_api_key",
    ),
    403: (
        "Project `proj_stub` does not have access to this model.",
        "invalid_request_error",
        "model_not_found",
    ),
    404: ("Invalid URL", "invalid_request_error", None),
    409: ("The resource is being changed by another request.", "conflict_error", None),
    422: ("The request could not be processed.", "invalid_request_error", None),
    429: (
        "Rate limit reached for gpt-6-sol in organization org-stub on requests per min (RPM): "
        "Limit 500, Used 500, Requested 1. Please try again in 120ms.",
        "requests",
        "rate_limit_exceeded",
    ),
    500: (
        "The server had an error while processing your request. Sorry about that!",
        "server_error",
        None,
    ),
    503: (
        "The engine is currently overloaded, please try again later",
        "service_unavailable_error",
        None,
    ),
}

NO_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, read the docs: "
    "https://platform.openai.com/docs/guides/error-codes/api-errors."
)


def headers(content_type: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of a reply, those too that a caller of the gateway must not see."""
    return [
        (b"content-type", content_type),
        (b"openai-organization", b"org-stub"),
        (b"openai-project", b"proj_stub"),
        (b"openai-processing-ms", b"12"),
        (b"openai-version", b"2020-10-01"),
        (b"x-request-id", b"req_" + secrets.token_hex(16).encode()),
        (b"x-ratelimit-limit-requests", b"10000"),
        (b"x-ratelimit-limit-tokens", b"2000000"),
        (b"x-ratelimit-remaining-requests", b"9999"),
        (b"x-ratelimit-remaining-tokens", b"1999950"),
        (b"x-ratelimit-reset-requests", b"6ms"),
        (b"x-ratelimit-reset-tokens", b"1ms"),
        (b"set-cookie", b"__cf_bm=stub; path=/; domain=.api.openai.com; HttpOnly; Secure"),
        (b"strict-transport-security", b"max-age=31536000; includeSubDomains; preload"),
        (b"x-content-type-options", b"nosniff"),
        (b"cf-cache-status", b"DYNAMIC"),
        (b"cf-ray", b"stub-ACC"),
        (b"alt-svc", b'h3=":443"; ma=86400'),
        (b"server", b"cloudflare"),
    ]


def error(
    status: int, *, message: str | None = None, code: str | None = None, param: str | None = None
) -> bytes:
    """An error in OpenAI's words."""
    fallback = ERRORS[500 if status >= 500 else 400]
    usual, kind, usual_code = ERRORS.get(status, fallback)
    if code == "insufficient_quota":
        usual, kind = NO_QUOTA, "insufficient_quota"
    words = {
        "message": message or usual,
        "type": kind,
        "param": param,
        "code": code or usual_code,
    }
    return json.dumps({"error": words}, indent=2).encode()


def completion(generation: Generation, *, model: str) -> bytes:
    """A chat completion as one JSON object."""
    script = generation.script
    speaks = generation.heard.speaks
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if script.tool or speaks else generation.text,
        "refusal": None,
        "annotations": [CITATION] if generation.heard.searches else [],
    }
    if speaks:
        message["audio"] = {**_audio(), "data": SPEECH, "transcript": generation.text}
    if script.tool:
        message["tool_calls"] = [_tool_call(script.tool[0], generation.text)]
    body: dict[str, Any] = {
        "id": _id(),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": index,
                "message": message,
                "logprobs": None,
                "finish_reason": generation.finish_reason,
            }
            for index in range(generation.n)
        ],
    }
    if script.reports_usage:
        body["usage"] = generation.usage()
    body |= _tool_usage(generation)
    body |= {"service_tier": script.tier, "system_fingerprint": FINGERPRINT}
    return json.dumps(body, indent=2, ensure_ascii=False).encode()


class Events:
    """The server-sent events of one streamed chat completion."""

    def __init__(self, generation: Generation, *, model: str, with_usage: bool) -> None:
        self._generation = generation
        self._with_usage = with_usage
        self._common = {
            "id": _id(),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "service_tier": generation.script.tier,
            "system_fingerprint": FINGERPRINT,
        }

    def opening(self) -> bytes:
        """The first event of each choice: a role and no text."""
        delta: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
        tool = self._generation.script.tool
        if tool:
            delta["content"] = None
            delta["tool_calls"] = [{"index": 0, **_tool_call(tool[0], "")}]
        return self._each_choice(delta)

    def texts(self) -> Iterator[bytes]:
        """One event for each piece of text, the choices in turn."""
        generation = self._generation
        for piece in generation.pieces:
            delta: dict[str, Any] = {"content": piece}
            if generation.script.tool:
                delta = {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
            elif generation.heard.speaks:
                delta = {"audio": {"data": SPEECH, "transcript": piece}}
            for index in range(generation.n):
                yield self._event([_choice(index, delta, None)])

    def closing(self) -> bytes:
        """The last event of each choice: why it ended."""
        return self._each_choice({}, self._generation.finish_reason)

    def usage(self) -> bytes:
        """The one extra event that has the usage; empty when it was not asked for."""
        if not self._with_usage or not self._generation.script.reports_usage:
            return b""
        return self._event([], self._generation.usage(), **_tool_usage(self._generation))

    def _each_choice(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choices = range(self._generation.n)
        return b"".join(self._event([_choice(index, delta, reason)]) for index in choices)

    def _event(self, choices: list[Any], usage: dict[str, Any] | None = None, **more: Any) -> bytes:
        chunk: dict[str, Any] = {**self._common, "choices": choices, **more}
        if self._with_usage:
            chunk["usage"] = usage
        if choices:
            chunk["obfuscation"] = secrets.token_urlsafe(6)
        text = json.dumps(chunk, separators=(",", ":"), ensure_ascii=False)
        return b"data: " + text.encode() + b"\n\n"


def _tool_usage(generation: Generation) -> dict[str, Any]:
    count = generation.script.searches
    return {} if count is None else {"tool_usage": {"web_search": {"num_requests": count}}}


def _audio() -> dict[str, Any]:
    return {"id": f"audio_{secrets.token_hex(12)}", "expires_at": int(time.time()) + 3600}


def models(names: Iterator[str]) -> bytes:
    """The list of models."""
    return json.dumps({"object": "list", "data": [_model(name) for name in names]}).encode()


def model(name: str) -> bytes:
    """One model."""
    return json.dumps(_model(name)).encode()


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_762_000_000, "owned_by": "system"}


def _choice(index: int, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}


def _tool_call(name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}


def _id() -> str:
    return f"chatcmpl-{secrets.token_hex(15)}"
