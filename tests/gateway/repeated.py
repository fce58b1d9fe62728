"""A caller that repeats its calls, and what it is told."""

from __future__ import annotations

from typing import Any

import httpx2

from tests.house import Acme

IN_FLIGHT = (409, "invalid_request_error", "idempotency_in_flight", "true", "1")
NOT_KEPT = (409, "invalid_request_error", "idempotency_reply_not_kept", "false", None)
REUSED = (422, "invalid_request_error", "idempotency_key_reused", "false", None)


async def asks(acme: Acme, key: str = "order-17", **fields: Any) -> httpx2.Response:
    more = fields.pop("headers", {})
    return await acme.house.chat(acme, headers={"Idempotency-Key": key, **more}, **fields)


def same(again: httpx2.Response, first: httpx2.Response) -> bool:
    """Status, bytes and headers, but for the one that says it."""
    told = dict(again.headers)
    is_replay = told.pop("idempotency-replayed", None) == "true"
    return (
        is_replay
        and again.status_code == first.status_code
        and again.content == first.content
        and told == dict(first.headers)
    )
