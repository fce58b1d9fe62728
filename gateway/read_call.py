"""
Request → Call: the body as one object, the model, the stream flag, who it is for.

The object is what is metered and what is forwarded. A body that says a key twice, or
hides a number that another parser reads differently, therefore means one thing only.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from gateway.endpoints import Endpoint
from gateway.errors import (
    BodyTooLarge,
    EncodingNotAccepted,
    RequestRefused,
)
from metering.call import Call
from storage.replays import Name

Receive = Callable[[], Awaitable[dict[str, Any]]]
Headers = list[tuple[bytes, bytes]]

# Decoding more than this takes over a millisecond, in which the loop serves nobody else.
DECODE_HERE_BYTES = 256 * 1024

_IDEMPOTENCY_KEY = re.compile(rb"[!-~]{1,255}")

LABEL_MOST = 100
USER_MOST = 200


class ClientLeft(Exception):
    """The caller hung up before the body was complete; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What the caller says of itself: the app's own user, the feature, what it wants fitted."""

    user: str | None
    feature: str | None
    may_fit: bool
    figures_in_stream: bool


async def read_body(headers: Headers, receive: Receive, *, most_bytes: int) -> bytes:
    """
    The body, at most `most_bytes` long.

    Raises:
        BodyTooLarge, EncodingNotAccepted: Said before more of it is read.
        ClientLeft: It will never be complete.
    """
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value) > most_bytes:
            raise _too_large(most_bytes)
        if name == b"content-encoding" and value.lower() != b"identity":
            raise EncodingNotAccepted(
                "the body has a content-encoding; send it as plain JSON, so that its size is known"
            )
    pieces: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece = message.get("body", b"")
        length += len(piece)
        if length > most_bytes:
            raise _too_large(most_bytes)
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def read_call(endpoint: Endpoint, body: bytes) -> Call:
    """
    The call in a JSON body.

    Raises:
        RequestRefused: Not JSON, not an object, no model.
    """
    if len(body) > DECODE_HERE_BYTES:
        fields = await asyncio.to_thread(decoded, body)
    else:
        fields = decoded(body)
    if not isinstance(fields, dict):
        raise RequestRefused(f"the body is a JSON {_kind(fields)}; send an object")
    model = fields.get("model")
    if model is None and endpoint.default_model is not None:
        # What is metered is what is forwarded, so OpenAI is told too.
        model = fields["model"] = endpoint.default_model
    if not isinstance(model, str) or not 0 < len(model) <= 128:
        raise RequestRefused(
            "the body names no model; send `model` as a string, such as one of GET /v1/models",
            param="model",
        )
    return Call(
        endpoint=endpoint.name,
        model=model,
        fields=fields,
        streams=fields.get("stream") is True,
        body_bytes=len(body),
    )


def read_labels(headers: Headers, fields: dict[str, Any], default_feature: str | None) -> Labels:
    """
    User and feature: from the headers, else from the body, else the key's default feature.

    Raises:
        RequestRefused: A header is longer than it may be or not printable.
    """
    given = dict(headers)
    metadata = fields.get("metadata")
    feature = _label(given, b"x-feature", LABEL_MOST)
    if feature is None and isinstance(metadata, dict):
        feature = _text(metadata.get("feature"), LABEL_MOST)
    user = _label(given, b"x-user", USER_MOST)
    for field in ("safety_identifier", "user"):
        user = user or _text(fields.get(field), USER_MOST)
    fit = _one_of(given, b"x-credits-fit", {b"never": False, b"affordable": True})
    return Labels(
        user=user,
        feature=feature or default_feature,
        may_fit=True if fit is None else fit,
        figures_in_stream=given.get(b"x-credits-in-stream") == b"1",
    )


def read_name(headers: Headers, endpoint: Endpoint, body: bytes, labels: Labels) -> Name | None:
    """
    What the Idempotency-Key of a call stands for; None without one. Hashes the whole body.

    Raises:
        RequestRefused: It is sent twice, or is not what it may be.
    """
    given = [value for name, value in headers if name == b"idempotency-key"]
    if not given:
        return None
    if len(given) > 1 or not _IDEMPOTENCY_KEY.fullmatch(given[0]):
        raise RequestRefused(
            "the header Idempotency-Key must be 1 to 255 printable ASCII characters without "
            "blanks, sent once",
            param="Idempotency-Key",
        )
    # The labels too: they change the price, what is fitted, and the bytes of a stream.
    asked = sha256(b"%s\0%s\0" % (endpoint.name.encode(), msgspec.json.encode(labels)))
    asked.update(body)
    return Name(sha256(given[0]).hexdigest(), asked.hexdigest())


def decoded(body: bytes) -> Any:
    """
    What a JSON body says.

    Raises:
        RequestRefused: It is empty, or not JSON.
    """
    if not body:
        raise RequestRefused("the body is empty; send a JSON object")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestRefused(f"the body is not JSON: {_without_content(error)}") from None
    except RecursionError:
        raise RequestRefused("the body is nested too deeply") from None


def _without_content(error: Exception) -> str:
    """The parser's complaint; it names bytes and positions, never more of the body."""
    return str(error)[:120] if isinstance(error, msgspec.DecodeError) else "it is not UTF-8"


def _kind(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _label(given: dict[bytes, bytes], name: bytes, most: int) -> str | None:
    value = given.get(name)
    if not value:
        return None
    text = value.decode("utf-8", "replace")
    if len(text) > most or not text.isprintable():
        raise RequestRefused(
            f"the header {name.decode()} must be printable and at most {most} characters long"
        )
    return text


def _text(value: Any, most: int) -> str | None:
    if isinstance(value, str) and value and value.isprintable():
        return value[:most]
    return None


def _one_of(given: dict[bytes, bytes], name: bytes, choices: dict[bytes, bool]) -> bool | None:
    value = given.get(name)
    if value is None:
        return None
    if value not in choices:
        allowed = ", ".join(choice.decode() for choice in choices)
        raise RequestRefused(f"the header {name.decode()} must be one of {allowed}")
    return choices[value]


def _too_large(most_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is longer than the {most_bytes} bytes that are accepted here")
