"""Finding: one thing that was looked at, how it is, and what helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "wrong", "unsure"]


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One line of the doctor's.

    Attributes:
        check: What was looked at, for a script: `redis.eviction`.
        verdict: `unsure` is what cannot be told, or is worth a look.
        said: What was found, in words.
        fix: What helps; empty where nothing has to.
    """

    check: str
    verdict: Verdict
    said: str
    fix: str = ""


def ok(check: str, said: str) -> Finding:
    """As it must be."""
    return Finding(check, "ok", said)


def wrong(check: str, said: str, fix: str) -> Finding:
    """Not as it must be."""
    return Finding(check, "wrong", said, fix)


def unsure(check: str, said: str, fix: str = "") -> Finding:
    """Not known, or worth a look."""
    return Finding(check, "unsure", said, fix)
