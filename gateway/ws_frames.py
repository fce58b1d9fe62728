"""The frames of a websocket: the caller's as objects, of OpenAI's what has to be known."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from gateway.errors import RequestRefused
from gateway.read_call import DECODE_HERE_BYTES

EVENT_ID_MOST = 512


class _Named(msgspec.Struct, gc=False):
    id: Any = None
    event_id: Any = None


class Head(msgspec.Struct, gc=False):
    """What is picked out of OpenAI's frames; everything else is skipped."""

    type: Any = None
    status: Any = None
    response_id: Any = None
    item_id: Any = None
    response: _Named | None = None
    error: _Named | None = None
    session: msgspec.Raw = msgspec.Raw(b"null")


_head = msgspec.json.Decoder(Head)


def read_head(frame: bytes) -> Head:
    """
    The head of a frame of OpenAI's.

    Raises:
        ValueError: It is not JSON, or not such an object.
    """
    return _head.decode(frame)


async def read_frame(frame: str | None) -> dict[str, Any]:
    """
    A caller's frame as an object.

    Raises:
        RequestRefused: It is binary, not JSON, no object, or names no type.
    """
    if frame is None:
        raise RequestRefused("a frame is binary; send JSON as text")
    if len(frame) > DECODE_HERE_BYTES:
        fields = await asyncio.to_thread(_decode, frame)
    else:
        fields = _decode(frame)
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        raise RequestRefused("a frame is a JSON object with a type", param="type")
    return fields


def event_id_of(fields: dict[str, Any]) -> str | None:
    """
    The caller's name for its frame.

    Raises:
        RequestRefused: It is no short text.
    """
    event_id = fields.get("event_id")
    if event_id is not None and not (isinstance(event_id, str) and len(event_id) <= EVENT_ID_MOST):
        raise RequestRefused(
            f"event_id is a text of at most {EVENT_ID_MOST} characters", param="event_id"
        )
    return event_id


def _decode(frame: str) -> Any:
    try:
        return msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeError):
        raise RequestRefused("the frame is not JSON") from None
    except RecursionError:
        raise RequestRefused("the frame is nested too deeply") from None
