"""
What OpenAI's refusals mean for the caller.

An error about the call is passed on as it is and costs nothing. An error about our own
key or account is never the caller's fault, and its text names our organisation.
"""

from __future__ import annotations

import logging
import re
from typing import Any

import msgspec

from gateway.errors import (
    UpstreamAccountEmpty,
    UpstreamMisbehaved,
    UpstreamRefusedOurKey,
)

log = logging.getLogger(__name__)

ERROR_BODY_MOST_BYTES = 1024 * 1024

# OpenAI's rate-limit texts name the organisation and the project that all businesses share.
_OURS = re.compile(rb"\b(org|proj|sk)([-_])[A-Za-z0-9_-]{6,}")

# What these say is between OpenAI and us, whatever the status.
_ACCOUNT_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}


def our_fault(status: int, body: bytes) -> Exception | None:
    """
    What to tell the caller instead of this answer, or None when it may be passed on.

    The operator is told in the log, loudly: nothing will work until it is mended.
    """
    code = _code(body)
    if code in _ACCOUNT_CODES:
        log.critical("upstream_account_empty", extra={"status": status, "code": code})
        return UpstreamAccountEmpty(
            "the upstream account cannot take calls now; the operator has been told, try later"
        )
    if status in (401, 403):
        log.critical("upstream_refuses_our_key", extra={"status": status, "code": code})
        return UpstreamRefusedOurKey(
            "the upstream does not accept the gateway's own key; the operator has been told"
        )
    if status < 400:
        log.error("upstream_misbehaved", extra={"status": status})
        return UpstreamMisbehaved(f"the upstream answered {status}, which is no answer to a call")
    return None


def without_ours(body: bytes) -> bytes:
    """An error's text without the names of our organisation, project or key."""
    return _OURS.sub(rb"\1\2***", body)


def _code(body: bytes) -> str | None:
    try:
        error: Any = msgspec.json.decode(body)["error"]
        code = error["code"] or error["type"]
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        return None
    return code if isinstance(code, str) else None
