"""Call: what the meters need to know of a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """
    A file in the body of a call.

    `name` is the field it came in, `content_type` what the caller says it is ("" for
    nothing). `head` is how it begins; `read_at(offset, most)` gives any bytes of it, and
    blocks.
    """

    name: str
    filename: str
    content_type: str
    size: int
    head: bytes
    read_at: Callable[[int, int], bytes]


@dataclass(slots=True)
class Call:
    """
    One request to OpenAI, read but not yet forwarded.

    `fields` is the body as one object: what is metered here is what is forwarded, and a
    meter may put a limit into it. `body_bytes` is the length of that body as JSON.
    `allowed` names what is switched on for the business beyond what every one may use.
    `stores` is set by the meter when OpenAI will keep the reply as an object. `before_tokens`
    is what the response that it continues had, in and out; None when that is not known.

    A body of several parts is forwarded as it came: `fields` are its text fields then, each a
    text or, where the name ends with `[]`, a list of texts; `files` are its files, and
    `as_sent` is the body, into which nothing can be written. `lengths` is how long the meter
    found its sound to be, once it has read it.
    """

    endpoint: str
    model: str
    fields: dict[str, Any]
    streams: bool
    body_bytes: int
    allowed: frozenset[str] = frozenset()
    stores: bool = False
    before_tokens: int | None = 0
    files: tuple[UploadedFile, ...] = ()
    as_sent: Any = None
    lengths: Any = None
