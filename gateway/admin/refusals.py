"""
What an admin can be told instead of an answer, in OpenAI's envelope like everywhere.

    AdminRefusal
    ├── AdminDisabled           403   no token is configured
    ├── TokenWrong              401
    ├── FieldRefused            400   names the field
    ├── ContentNotAccepted      415
    ├── BodyTooLong             413
    ├── AlreadyCredited         409   names the purchase
    └── IdempotencyKeyReused    422

Errors of the stores stand in the same table; those that every caller may meet are in
`gateway.errors`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from starlette.exceptions import HTTPException

from gateway.error_replies import ErrorReply, Said, said_of
from storage.errors import BadAmount, Conflict, NotFound, SchemaOutdated
from storage.purchases import Purchase


class AdminRefusal(Exception):
    """
    An admin's call ends here; the text is for the admin.

    Attributes:
        param: The field it is about, if it is about one.
    """

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class AdminDisabled(AdminRefusal):
    """No admin token is configured, so nobody can be one."""


class TokenWrong(AdminRefusal):
    """The admin token is missing or another."""


class FieldRefused(AdminRefusal):
    """A field of the body, the query or a header is not what it must be."""


class ContentNotAccepted(AdminRefusal):
    """The body is not said to be plain JSON."""


class BodyTooLong(AdminRefusal):
    """No body of an admin is that long."""


class IdempotencyKeyReused(AdminRefusal):
    """The Idempotency-Key belongs to another body."""


class AlreadyCredited(AdminRefusal):
    """
    The payment was credited before.

    Attributes:
        purchase: Its receipt.
    """

    def __init__(self, purchase: Purchase) -> None:
        super().__init__(
            f"payment reference {purchase.payment_reference!r} was credited already: purchase "
            f"{purchase.id}, {purchase.credits_purchased} credits; a payment is credited once",
            param="payment_reference",
        )
        self.purchase = purchase


_INVALID = "invalid_request_error"

_TABLE: dict[type[Exception], Said] = {
    AdminDisabled: Said(403, "permission_error", "admin_disabled", False),
    TokenWrong: Said(401, _INVALID, "invalid_admin_token", False),
    FieldRefused: Said(400, _INVALID, "invalid_request", False),
    ContentNotAccepted: Said(415, _INVALID, "content_not_accepted", False),
    BodyTooLong: Said(413, _INVALID, "body_too_large", False),
    AlreadyCredited: Said(409, _INVALID, "already_credited", False),
    IdempotencyKeyReused: Said(422, _INVALID, "idempotency_key_reused", False),
    BadAmount: Said(400, _INVALID, "bad_amount", False),
    NotFound: Said(404, _INVALID, "not_found", False),
    Conflict: Said(409, _INVALID, "conflict", False),
    SchemaOutdated: Said(503, "server_error", "schema_outdated", False),
}

_HTTP = {404: "unknown_url", 405: "method_not_allowed"}


def refusal_reply(error: Exception) -> ErrorReply:
    """
    What the admin is sent for an error.

    The text of an error that nobody foresaw stays inside.
    """
    if isinstance(error, HTTPException):
        said = Said(error.status_code, _INVALID, _HTTP.get(error.status_code, "refused"), False)
        message = f"{error.detail}: see the paths of the admin API"
    else:
        said = next((_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE), None) or (
            said_of(error)
        )
        foreseen = said.status != 500
        message = str(error) if foreseen else "something went wrong in the gateway"
    return ErrorReply(said.status, _headers(error, said), _body(error, said, message), said.code)


def _body(error: Exception, said: Said, message: str) -> bytes:
    param = getattr(error, "param", None)
    if param is None and isinstance(error, BadAmount):
        param = "credits"
    found = {"message": message, "type": said.type, "param": param, "code": said.code}
    if isinstance(error, AlreadyCredited):
        return msgspec.json.encode(
            {"error": {**found, "metadata": {"purchase_id": error.purchase.id}}}
        )
    return msgspec.json.encode({"error": found})


def _headers(error: Exception, said: Said) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", b"application/json"),
        (b"x-should-retry", b"true" if said.retry else b"false"),
    ]
    if said.retry_after_s:
        headers.append((b"retry-after", str(said.retry_after_s).encode()))
    if said.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, HTTPException) and error.headers and "Allow" in error.headers:
        headers.append((b"allow", error.headers["Allow"].encode()))
    return headers


def check_upstream(name: str | None, known: Iterable[str]) -> None:
    """
    Make sure that the settings have this upstream.

    Raises:
        FieldRefused: They have others, or none.
    """
    if name is not None and name not in known:
        named = ", ".join(sorted(known)) or "none so far; see [upstreams] in the settings"
        raise FieldRefused(f"upstream: should be one of: {named}", param="upstream")
