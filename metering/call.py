"""Call: what the meters need to know of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Call:
    """
    One request to OpenAI, read but not yet forwarded.

    `fields` is the body as one object: what is metered here is what is forwarded, and a
    meter may put a limit into it. `body_bytes` is the length of that body as JSON.
    `allowed` names what is switched on for the business beyond what every one may use.
    `stores` is set by the meter when OpenAI will keep the reply as an object. `before_tokens`
    is what the response that it continues had, in and out; None when that is not known.
    """

    endpoint: str
    model: str
    fields: dict[str, Any]
    streams: bool
    body_bytes: int
    allowed: frozenset[str] = frozenset()
    stores: bool = False
    before_tokens: int | None = 0
