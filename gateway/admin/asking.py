"""What an admin asks: the body as a form, the page of a list, the key of a repeated call."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic
from uuid import UUID

import msgspec
from starlette.requests import Request

from gateway.admin.forms import Filled, filled
from gateway.admin.refusals import BodyTooLong, ContentNotAccepted, FieldRefused

BODY_MAX_BYTES = 2**20  # The longest form has a note of 2,000 letters.
PAGE_MAX = 200
PAGE_DEFAULT = 50

_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Asked(Generic[Filled]):
    """
    A filled form, and what tells it from another.

    Attributes:
        digest: SHA-256 of the body with its fields in order: blanks make no difference.
        idempotency_key: The caller's name for this very request, if it gave one.
    """

    form: Filled
    digest: bytes
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: at most `limit` rows after the row with the id `after`."""

    limit: int
    after: str | None


async def asked(request: Request, form: type[Filled]) -> Asked[Filled]:
    """
    Read the body of a call.

    Raises:
        FieldRefused: Not JSON, not an object, or a field is not as it must be.
        ContentNotAccepted: It is said to be something else, or compressed.
        BodyTooLong: More than `BODY_MAX_BYTES`.
    """
    fields = _object(await _body(request))
    canonical = msgspec.json.encode(fields, order="sorted")
    return Asked(filled(form, fields), sha256(canonical).digest(), _idempotency_key(request))


def page_of(request: Request) -> Page:
    """
    The page that the query asks for.

    Raises:
        FieldRefused: `limit` or `after` is not understood, or something else is asked.
    """
    asked = request.query_params
    for name, _ in asked.multi_items():
        if name not in ("limit", "after") or len(asked.getlist(name)) > 1:
            raise FieldRefused(f"{name[:100]}: ask for limit and after, once", param=name[:100])
    limit, after = asked.get("limit", str(PAGE_DEFAULT)), asked.get("after")
    if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= PAGE_MAX:
        raise FieldRefused(f"limit: should be 1 to {PAGE_MAX}", param="limit")
    return Page(int(limit), _known_form(after) if after is not None else None)


def _known_form(after: str) -> str:
    try:
        return str(UUID(after))
    except ValueError:
        raise FieldRefused("after: should be the id in `next`", param="after") from None


def _idempotency_key(request: Request) -> str | None:
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not _IDEMPOTENCY_KEY.fullmatch(given[0]):
        raise FieldRefused(
            "Idempotency-Key: should be 1 to 255 printable characters, sent once",
            param="Idempotency-Key",
        )
    return given[0]


async def _body(request: Request) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:12]) > BODY_MAX_BYTES:
        raise BodyTooLong(f"a body is at most {BODY_MAX_BYTES} bytes here")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ContentNotAccepted("send the body uncompressed")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX_BYTES:
            raise BodyTooLong(f"a body is at most {BODY_MAX_BYTES} bytes here")
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and content != "application/json":
        raise ContentNotAccepted("send the body with `Content-Type: application/json`")
    return bytes(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise FieldRefused("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise FieldRefused("the body should be a JSON object")
    return fields
