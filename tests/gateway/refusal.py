"""What a caller is told when it is refused, as one value."""

from __future__ import annotations

from typing import NamedTuple

import httpx2


class Refusal(NamedTuple):
    """A line of the table in `gateway/errors.py`, as it came over the wire."""

    status: int
    type: str
    code: str | None
    retry: str | None
    retry_after: str | None = None


def refusal_in(reply: httpx2.Response) -> Refusal:
    """The refusal that a reply is; it is in OpenAI's envelope and has an id, or this fails."""
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.headers["x-request-id"]
    error = reply.json()["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert error["message"]
    return Refusal(
        reply.status_code,
        error["type"],
        error["code"],
        reply.headers.get("x-should-retry"),
        reply.headers.get("retry-after"),
    )
