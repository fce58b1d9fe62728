"""
Limits of an API key: what it may do in a minute, at a time, and at all.

`hold.lua` decides by them; here are the limits, what they say of a call, and how both are
written for the script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metering.money import Credits

MOST_PER_MINUTE = 10**9
"""Of requests or of tokens; hold.lua counts in 60,000ths, which must stay below 10^15."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much in a minute, and how many calls at a time; None where nothing is limited."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None

    def or_else(self, others: Limits) -> Limits:
        """These, and where they say nothing the others."""
        return Limits(
            _first(self.requests_per_minute, others.requests_per_minute),
            _first(self.tokens_per_minute, others.tokens_per_minute),
            _first(self.concurrent, others.concurrent),
        )


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """The limits of one key, and the most it may ever spend; at least one of them is set."""

    key: str
    limits: Limits
    credit_cap: Credits | None

    @classmethod
    def of(cls, key: str, limits: Limits, credit_cap: Credits | None) -> KeyLimits | None:
        """None for a key that nothing limits: it costs Redis nothing."""
        if limits == Limits() and credit_cap is None:
            return None
        return cls(key, limits, credit_cap)

    def arguments(self, tokens: int) -> tuple[str, ...]:
        """ARGV[8] to ARGV[12] of hold.lua, for a call that may use so many tokens."""
        limits = self.limits
        cap = None if self.credit_cap is None else self.credit_cap.micro
        given = (limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent, cap)
        texts = ("" if each is None else str(each) for each in given)
        return (*texts, str(min(tokens, MOST_PER_MINUTE)))

    def rates(self, figures: Sequence[Any]) -> Rates:
        """The last four of an answer of hold.lua."""
        requests_left, requests_ms, tokens_left, tokens_ms = (int(each) for each in figures)
        return Rates(
            _rate(self.limits.requests_per_minute, requests_left, requests_ms),
            _rate(self.limits.tokens_per_minute, tokens_left, tokens_ms),
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit in a minute, what is left of it, and the milliseconds until all of it is."""

    limit: int
    remaining: int
    reset_ms: int


@dataclass(frozen=True, slots=True)
class Rates:
    """What a key has left; None where it has no such limit."""

    requests: Rate | None
    tokens: Rate | None


def _first(own: int | None, other: int | None) -> int | None:
    return other if own is None else own


def _rate(limit: int | None, remaining: int, reset_ms: int) -> Rate | None:
    return None if limit is None else Rate(limit, remaining, reset_ms)
