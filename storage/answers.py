"""What the scripts answer, as types; and what they refuse, as errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from metering.money import Credits
from storage.errors import (
    BusinessSuspended,
    CreditsExpired,
    CreditsHeld,
    CreditsOwed,
    InsufficientCredits,
    LedgerUnavailable,
)


@dataclass(frozen=True, slots=True)
class Hold:
    """
    Credits set aside for one call.

    `available` is what the business had left beside it; `is_new` is false when the id
    held already.
    """

    id: str
    business: str
    granted: Credits
    available: Credits
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class Settled:
    """
    The terminal answer of a hold.

    `is_new` is false when the hold had been settled before; `outcome` is then that of
    the settlement that counted.
    """

    charged: Credits
    shortfall: Credits
    available: Credits
    seq: int
    outcome: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Balance:
    """What Redis says of a business: total = held + available."""

    total: Credits
    held: Credits
    owed: Credits
    credit_seq: int
    expires_at_ms: int
    status: str

    @property
    def available(self) -> Credits:
        return self.total - self.held


@dataclass(frozen=True, slots=True)
class Overdue:
    """A hold whose lease has ended."""

    business: str
    id: str


class NoAccount(Exception):
    """The business has no account in Redis in this epoch; it is to be opened."""


class NoHold(Exception):
    """There is neither a hold nor an answer under this id."""


def settled_from(fields: Sequence[Any], *, is_new: bool) -> Settled:
    """The terminal answer of a settle: charged, shortfall, available, seq, outcome."""
    charged, shortfall, available, seq = (int(field) for field in fields[:4])
    return Settled(
        Credits(charged), Credits(shortfall), Credits(available), seq, str(fields[4]), is_new
    )


def refusal_of_hold(answer: list[Any], ceiling: Credits, floor: Credits) -> Exception:
    """Why a hold was not granted."""
    match answer[0]:
        case "INSUFFICIENT":
            available, held = Credits(answer[2]), Credits(answer[3])
            total = available + held
            kind = CreditsHeld if total >= floor else InsufficientCredits
            return kind(
                f"this call may use {ceiling} credits and {available} are available",
                available=available,
                held=held,
                total=total,
                expires_at_ms=answer[4],
            )
        case "EXPIRED":
            return CreditsExpired(
                "the credits of this business have expired; top up to go on",
                metadata={"expires_at": iso_of(answer[2])},
            )
        case "SUSPENDED":
            return BusinessSuspended("this business is suspended; ask your provider")
        case "OWED":
            return CreditsOwed(
                f"{Credits(answer[2])} credits are owed, because they were taken back when they "
                "were spent already; top up to pay them and go on",
                metadata={"owed": str(Credits(answer[2]))},
            )
        case "DONE":
            return LedgerUnavailable("this hold was settled already", reason="done")
    raise AssertionError(f"hold.lua gave an answer nobody knows: {answer[0]}")


def iso_of(at_ms: int) -> str | None:
    """Milliseconds since 1970 as a time for people; 0 is never."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat() if at_ms else None
