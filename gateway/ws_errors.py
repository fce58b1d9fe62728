"""
An error on a websocket: an HTTP refusal before it is accepted, an `error` event after.

The event has OpenAI's form; `status` is what HTTP would have answered, as OpenAI's websocket
of /v1/responses has it too. A socket that ends says why in its close code.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.error_replies import ErrorReply, reply_to, said_of
from gateway.upstream_answers import without_ours
from gateway.upstream_errors import UpstreamBroken
from storage.ids import new_id

ENDED_BY_US = 1008  # The caller's doing: credits, a revoked key.
ENDED_BY_FAULT = 1011  # Ours or OpenAI's.
ENDED_BY_STOP = 1012  # The gateway stops; connect again.


class SessionEnds(Exception):
    """
    This socket cannot go on: `error` is told, and then it is closed with `code`.

    `told_as` is told in place of the error's own code.
    """

    def __init__(self, error: Exception, code: int, told_as: str | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.code = code
        self.told_as = told_as


def broken(words: str) -> SessionEnds:
    """OpenAI has sent what it must not send."""
    return SessionEnds(UpstreamBroken(words), ENDED_BY_FAULT)


_OUT_OF_CREDITS = 402


def passable(kind: object, frame: bytes) -> bytes:
    """A frame of OpenAI's as it may be passed on: an error in it does not name our account."""
    if not isinstance(kind, str):
        return frame
    # A realtime response that has failed is done, and says why among its details.
    is_failed = kind == "error" or kind.endswith(".failed")
    is_failed |= kind == "response.done" and b'"failed"' in frame
    return without_ours(frame) if is_failed else frame


def ends_of(
    error: Exception, *, always: bool = False, midstream: str | None = None
) -> SessionEnds | None:
    """
    How a session ends by an error; None for one that it survives.

    Args:
        always: It cannot go on without what was refused.
        midstream: What the end of the credits is called then.
    """
    status = said_of(error).status
    if status == _OUT_OF_CREDITS:
        return SessionEnds(error, ENDED_BY_US, midstream)
    if not always:
        return None
    return SessionEnds(error, ENDED_BY_US if status < 500 else ENDED_BY_FAULT)


def refusal_messages(said: ErrorReply, request_id: str) -> list[dict[str, Any]]:
    """What ASGI sends in place of an accepted websocket."""
    headers = [
        *(header for header in said.headers if header[0] != b"connection"),
        (b"x-request-id", request_id.encode()),
        (b"content-length", b"%d" % len(said.body)),
        (b"connection", b"close"),
    ]
    return [
        {"type": "websocket.http.response.start", "status": said.status, "headers": headers},
        {"type": "websocket.http.response.body", "body": said.body},
    ]


def error_event(
    error: Exception,
    *,
    about: str | None = None,
    code: str | None = None,
    out_of_credits_status: int = 402,
) -> tuple[bytes, ErrorReply]:
    """
    The `error` event for an error, and how HTTP would have said it.

    Args:
        about: The `event_id` of the frame that it is about.
        code: In place of the table's.
    """
    said = reply_to(error, out_of_credits_status=out_of_credits_status)
    told: dict[str, Any] = msgspec.json.decode(said.body)["error"]
    if code is not None:
        told["code"] = said.code = code
    if about is not None:
        told["event_id"] = about
    event = {
        "type": "error",
        "event_id": f"event_{new_id()}",
        "status": said.status,
        "error": told,
    }
    return msgspec.json.encode(event), said
