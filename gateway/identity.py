"""
Who a call is for, as OpenAI is told: never in words that two businesses may share.

All businesses share one organisation there. A prompt cache key of one must not be another's
too, and an end user who breaks OpenAI's rules must be told from all others.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

SAFETY_IDENTIFIED = frozenset({"chat.completions", "responses"})
"""Endpoints that take a `safety_identifier`, which is then always sent."""

SHOWN = 24  # Hexadecimal digits of a hash: 96 bits. OpenAI takes at most 64 characters.


def hide_identity(fields: dict[str, Any], *, endpoint: str, business: str) -> None:
    """
    Rewrite what names the caller or its end user, for this business alone.

    A value that is no text is left for the meter to refuse.
    """
    key = fields.get("prompt_cache_key")
    if isinstance(key, str):
        fields["prompt_cache_key"] = _hashed(business, "cache", key)
    options = fields.get("prompt_cache_options")
    if isinstance(options, dict) and isinstance(options.get("key"), str):
        options["key"] = _hashed(business, "cache", options["key"])
    user, given = fields.get("user"), fields.get("safety_identifier")
    if isinstance(user, str):
        fields["user"] = end_user(business, user)
    if isinstance(given, str) or (given is None and endpoint in SAFETY_IDENTIFIED):
        named = given or user
        fields["safety_identifier"] = end_user(business, named if isinstance(named, str) else "")


def end_user(business: str, user: str) -> str:
    """The business, and after a dash its end user, neither of them readable."""
    shown = _hashed(business, "business", "")[:SHOWN]
    return f"{shown}-{_hashed(business, 'user', user)[:SHOWN]}" if user else shown


def _hashed(business: str, purpose: str, text: str) -> str:
    return sha256(f"{business}\0{purpose}\0{text}".encode("utf-8", "replace")).hexdigest()
