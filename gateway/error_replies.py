"""
The one table that says how an error is told, and the reply in OpenAI's envelope.

`x-should-retry` is always said, because it decides before the status does in the official
SDKs. A text that names hosts, partitions or mistakes of ours stays inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import Any, NamedTuple

import msgspec

from gateway.errors import (
    BodyTooLarge,
    EncodingNotAccepted,
    EndpointNotAllowed,
    EndpointNotSupported,
    FeatureLimitExceeded,
    FeatureNotAllowed,
    GenerationPending,
    GenerationUnknown,
    HeadTooLarge,
    KeyLimitExceeded,
    MethodNotAllowed,
    ModelNotAllowed,
    ModelUnknown,
    NotAuthenticated,
    ObjectUnknown,
    Overloaded,
    PathUnknown,
    PaymentsOff,
    PaymentsUnavailable,
    RequestRefused,
    UpgradeRefused,
    UpstreamAccountEmpty,
    UpstreamMisbehaved,
    UpstreamNotConfigured,
    UpstreamRefusedOurKey,
)
from gateway.rate_headers import rate_headers
from gateway.upstream_errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from metering.errors import BodyNotUnderstood, CostNotBounded, ModelNotPriced, UnitNotPriced
from storage.errors import (
    BusinessSuspended,
    CallInFlight,
    CapHeld,
    CapReached,
    CreditsExpired,
    CreditsHeld,
    CreditsOwed,
    InsufficientCredits,
    KeyReused,
    KeysExhausted,
    LedgerCorrupt,
    LedgerUnavailable,
    Limited,
    NotFound,
    RecordsUnavailable,
    ReplyNotKept,
)


class Said(NamedTuple):
    """How an error is told: status, OpenAI's type and code, and whether to try again."""

    status: int
    type: str
    code: str
    retry: bool
    retry_after_s: int | None = None


_INVALID = "invalid_request_error"
_QUOTA = "insufficient_quota"
_SERVER = "server_error"

TABLE: dict[type[Exception], Said] = {
    NotAuthenticated: Said(401, _INVALID, "invalid_api_key", False),
    EndpointNotSupported: Said(403, "permission_error", "endpoint_not_supported", False),
    EndpointNotAllowed: Said(403, "permission_error", "endpoint_not_allowed", False),
    ModelNotAllowed: Said(403, "permission_error", "model_not_allowed", False),
    FeatureNotAllowed: Said(403, "permission_error", "feature_not_allowed", False),
    BusinessSuspended: Said(403, "permission_error", "business_suspended", False),
    PathUnknown: Said(404, _INVALID, "unknown_url", False),
    ModelUnknown: Said(404, _INVALID, "model_not_found", False),
    GenerationUnknown: Said(404, _INVALID, "generation_not_found", False),
    ObjectUnknown: Said(404, _INVALID, "not_found", False),
    GenerationPending: Said(404, _INVALID, "generation_pending", True, 1),
    MethodNotAllowed: Said(405, _INVALID, "method_not_allowed", False),
    BodyTooLarge: Said(413, _INVALID, "body_too_large", False),
    EncodingNotAccepted: Said(415, _INVALID, "encoding_not_accepted", False),
    UpgradeRefused: Said(426, _INVALID, "upgrade_refused", False),
    HeadTooLarge: Said(431, _INVALID, "headers_too_large", False),
    RequestRefused: Said(400, _INVALID, "invalid_request", False),
    BodyNotUnderstood: Said(400, _INVALID, "invalid_body", False),
    CostNotBounded: Said(400, _INVALID, "cost_not_bounded", False),
    ModelNotPriced: Said(400, _INVALID, "model_not_priced", False),
    UnitNotPriced: Said(400, _INVALID, "cost_not_bounded", False),
    FeatureLimitExceeded: Said(400, _INVALID, "feature_limit_exceeded", False),
    KeyLimitExceeded: Said(400, _INVALID, "key_limit_exceeded", False),
    InsufficientCredits: Said(402, _QUOTA, "insufficient_credits", False),
    CreditsExpired: Said(402, _QUOTA, "credits_expired", False),
    CreditsOwed: Said(402, _QUOTA, "credits_owed", False),
    CallInFlight: Said(409, _INVALID, "idempotency_in_flight", True, 1),
    ReplyNotKept: Said(409, _INVALID, "idempotency_reply_not_kept", False),
    KeyReused: Said(422, _INVALID, "idempotency_key_reused", False),
    KeysExhausted: Said(429, "rate_limit_error", "idempotency_keys_exhausted", False),
    CapReached: Said(402, _QUOTA, "key_credit_cap_reached", False),
    CapHeld: Said(429, "rate_limit_error", "key_credit_cap_held", True, 2),
    CreditsHeld: Said(429, "rate_limit_error", "credits_held", True, 2),
    Limited: Said(429, "rate_limit_error", "rate_limit_exceeded", True, 1),
    UpstreamUnreachable: Said(502, _SERVER, "upstream_error", True),
    UpstreamBroken: Said(502, _SERVER, "upstream_error", False),
    UpstreamTimeout: Said(504, _SERVER, "upstream_error", False),
    UpstreamRefusedOurKey: Said(502, _SERVER, "upstream_auth_error", False),
    UpstreamMisbehaved: Said(502, _SERVER, "upstream_error", False),
    UpstreamNotConfigured: Said(503, _SERVER, "upstream_unavailable", False, 30),
    UpstreamAccountEmpty: Said(503, _SERVER, "upstream_unavailable", True, 30),
    LedgerUnavailable: Said(503, _SERVER, "ledger_unavailable", True, 1),
    LedgerCorrupt: Said(503, _SERVER, "ledger_unavailable", True, 1),
    RecordsUnavailable: Said(503, _SERVER, "records_unavailable", True, 1),
    PaymentsOff: Said(404, _INVALID, "payments_off", False),
    PaymentsUnavailable: Said(502, _SERVER, "payments_unavailable", True, 5),
    NotFound: Said(404, _INVALID, "not_found", False),
    Overloaded: Said(503, _SERVER, "overloaded", True, 5),
}

RETRY_AFTER_MOST_S = 59  # The official SDKs wait for less than a minute, or as they like.

_UNEXPECTED = Said(500, _SERVER, "internal_error", False)

# What these say names hosts and partitions; that is for the log, not for a caller.
_OUTAGES = {
    "internal_error": "something went wrong in the gateway; the operator can find it in its log",
    "ledger_unavailable": "the ledger does not answer now; nothing was forwarded, try again soon",
    "upstream_error": "OpenAI did not answer this call as it should; it costs nothing unless it "
    "was answered in part",
    "records_unavailable": "the records do not answer now; nothing was forwarded, try again soon",
}


@dataclass(slots=True)
class ErrorReply:
    """A status, headers and a body in OpenAI's envelope."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    code: str = field(default="")


def said_of(error: BaseException) -> Said:
    """The line of the table for an error or the nearest of its parents."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return _UNEXPECTED


def reply_to(error: Exception, *, out_of_credits_status: int = 402) -> ErrorReply:
    """
    What the caller is sent for an error.

    The text of an error that is not in the table stays inside: it could name anything.
    """
    said = said_of(error)
    if said.status == 402 and out_of_credits_status == 429:
        said = said._replace(status=429)
    message = _OUTAGES.get(said.code) or str(error)
    body = {
        "error": {
            "message": message,
            "type": said.type,
            "param": _param(error),
            "code": error.code if isinstance(error, ObjectUnknown) else said.code,
            **_metadata(error),
        }
    }
    return ErrorReply(said.status, _headers(error, said), msgspec.json.encode(body), said.code)


def _param(error: Exception) -> str | None:
    """The field that an error is about, where it is about one."""
    if isinstance(error, ModelNotPriced):
        return "model"
    if isinstance(error, CostNotBounded):
        return error.part
    param: str | None = getattr(error, "param", None)
    return param


def _metadata(error: Exception) -> dict[str, Any]:
    metadata = getattr(error, "metadata", None)
    return {"metadata": metadata} if metadata else {}


def _headers(error: Exception, said: Said) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", b"application/json"),
        (b"x-should-retry", b"true" if said.retry else b"false"),
    ]
    if said.retry_after_s:
        after = getattr(error, "retry_after_s", said.retry_after_s)
        # A client that comes too early is refused again; one that waits a minute gives up.
        headers.append((b"retry-after", b"%d" % min(max(1, ceil(after)), RETRY_AFTER_MOST_S)))
    if isinstance(error, Limited):
        headers.append((b"retry-after-ms", b"%d" % ceil(error.retry_after_s * 1000)))
        headers += rate_headers(error.rates)
    if said.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    if isinstance(error, UpgradeRefused):
        headers.append((b"connection", b"close"))
    return headers
