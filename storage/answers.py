"""What the scripts answer, as types; and what they refuse, as errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from metering.money import Credits
from storage.errors import (
    BusinessSuspended,
    CapHeld,
    CapReached,
    CreditsExpired,
    CreditsHeld,
    CreditsOwed,
    InsufficientCredits,
    LedgerUnavailable,
    Limited,
)
from storage.limits import KeyLimits, Rates


@dataclass(frozen=True, slots=True)
class Hold:
    """
    Credits set aside for one call.

    `available` is what the business had left beside it; `is_new` is false when the id
    held already; `rates` is what its key has left, where that has limits.
    """

    id: str
    business: str
    granted: Credits
    available: Credits
    is_new: bool = True
    rates: Rates | None = None


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
class Expired:
    """What was booked as expired just now; nothing where nothing was available."""

    amount: Credits


class Unexpired(Enum):
    """Why a balance was not expired; nothing was changed."""

    NOT_YET = "NOT_YET"
    BEHIND = "BEHIND"  # A later credit event is still to be applied.


@dataclass(frozen=True, slots=True)
class Audited:
    """
    The figures of an account whose shape is sound.

    Attributes:
        seq: The last change that Redis made.
        credit_seq: The last credit event applied.
        holds: How many calls hold credits.
    """

    total: Credits
    held: Credits
    owed: Credits
    seq: int
    credit_seq: int
    holds: int


@dataclass(frozen=True, slots=True)
class Overdue:
    """A hold whose lease has ended."""

    business: str
    id: str


class NoAccount(Exception):
    """The business has no account in Redis in this epoch; it is to be opened."""


class NoHold(Exception):
    """There is neither a hold nor an answer under this id."""


class NotCounted(Exception):
    """The key has a cap, and what it has spent is not counted yet; SQL knows it."""


def hold_from(answer: list[Any], *, id: str, business: str, limits: KeyLimits | None) -> Hold:
    """A hold that was granted, now or when it was asked for before."""
    granted, available = Credits(answer[2]), Credits(answer[3])
    rates = limits.rates(answer[4:]) if limits and len(answer) > 4 else None
    return Hold(id, business, granted, available, is_new=answer[0] == "OK", rates=rates)


class AccountWrong(Exception):
    """
    An account was not what it must be, and was frozen for it.

    Attributes:
        why: What was found, for people.
    """

    def __init__(self, business: str, why: str) -> None:
        super().__init__(f"the account of business {business} is frozen: {why}")
        self.why = why


def settled_from(fields: Sequence[Any], *, is_new: bool) -> Settled:
    """The terminal answer of a settle: charged, shortfall, available, seq, outcome."""
    charged, shortfall, available, seq = (int(field) for field in fields[:4])
    return Settled(
        Credits(charged), Credits(shortfall), Credits(available), seq, str(fields[4]), is_new
    )


def refusal_of_hold(
    answer: list[Any], ceiling: Credits, floor: Credits, limits: KeyLimits | None = None
) -> Exception:
    """Why a hold was not granted."""
    match answer[0]:
        case "LIMITED" | "CAPPED" | "NOT_COUNTED":
            assert limits is not None, "only a key with limits is refused by them"
            return _refusal_by_limits(answer, ceiling, floor, limits)
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


def _refusal_by_limits(
    answer: list[Any], ceiling: Credits, floor: Credits, limits: KeyLimits
) -> Exception:
    if answer[0] == "NOT_COUNTED":
        return NotCounted(limits.key)
    if answer[0] == "LIMITED":
        return _limited(answer, limits)
    assert limits.credit_cap is not None, "only a cap is reached"
    cap, spent, held = limits.credit_cap, Credits(answer[2]), Credits(answer[3])
    kind = CapHeld if held and cap - spent >= floor else CapReached
    return kind(
        f"this call may use {ceiling} credits and this key may spend {cap} in all, of which "
        f"{spent} are spent and {held} held",
        cap=cap,
        spent=spent,
        held=held,
    )


def _limited(answer: list[Any], limits: KeyLimits) -> Limited:
    which, wait_s, rates = str(answer[2]), answer[3] / 1000, limits.rates(answer[4:])
    name = which if which == "concurrent" else f"{which}_per_minute"
    allowed: int = getattr(limits.limits, name)
    if which == "concurrent":
        found = f"this key may have {allowed} calls at a time, and so many run; wait for one to end"
    else:
        left = getattr(rates, which).remaining
        found = (
            f"this key may use {allowed} {which} a minute, and {left} are left; "
            f"try again in {wait_s:.3g} s"
        )
    return Limited(
        found,
        which=which,
        retry_after_s=wait_s,
        rates=rates,
        metadata={"limit": name, "allowed": allowed, "retry_after_ms": answer[3]},
    )


def iso_of(at_ms: int) -> str | None:
    """Milliseconds since 1970 as a time for people; 0 is never."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat() if at_ms else None
