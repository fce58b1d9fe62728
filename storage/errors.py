"""
What the stores can answer besides what was asked for.

    StorageError
    ├── LedgerRefusal           the ledger said no; nothing was changed
    │   ├── InsufficientCredits
    │   │   └── CreditsHeld     enough in total, but running calls hold it
    │   ├── CreditsExpired
    │   ├── CreditsOwed
    │   ├── BusinessSuspended
    │   ├── Limited             a limit of the key in a minute, or at a time
    │   └── CapReached          the key may not spend more
    │       └── CapHeld         it may, but its running calls hold the rest
    ├── RepeatRefused           a call with this Idempotency-Key is known, and not to be repeated
    │   ├── CallInFlight
    │   ├── KeyReused
    │   ├── ReplyNotKept
    │   └── KeysExhausted       it is not known, and no more keys are kept
    ├── LedgerUnavailable       in doubt, frozen, stale, or something was lost
    ├── LedgerCorrupt           Redis holds what cannot be
    ├── RecordsUnavailable      SQL does not answer
    ├── SchemaOutdated          SQL answers with other tables than this code knows
    ├── NotFound
    ├── Conflict
    └── BadAmount
"""

from __future__ import annotations

from metering.money import Credits
from storage.limits import Rates


class StorageError(Exception):
    """The stores could not do what was asked."""


class LedgerRefusal(StorageError):
    """The ledger refuses a call; nothing was held and nothing was changed."""


class InsufficientCredits(LedgerRefusal):
    """
    The business has fewer credits than the call needs at the least.

    Attributes:
        available: What could be held now.
        held: Set aside for calls that run.
        total: Available and held.
        expires_at_ms: When the credits expire, milliseconds since 1970; 0 for never.
        metadata: The same for the caller, with what would help it.
    """

    def __init__(
        self,
        message: str,
        *,
        available: Credits,
        held: Credits,
        total: Credits,
        expires_at_ms: int = 0,
        metadata: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.expires_at_ms = expires_at_ms
        self.metadata = metadata
        self.available = available
        self.held = held
        self.total = total


class CreditsHeld(InsufficientCredits):
    """There would be enough, but calls that run hold it; it may return in a moment."""


class CreditsExpired(LedgerRefusal):
    """
    The credits of the business are past their day.

    Attributes:
        metadata: When that was, for the caller.
    """

    def __init__(self, message: str, *, metadata: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.metadata = metadata


class CreditsOwed(LedgerRefusal):
    """
    Credits were taken back that had been spent; the next purchase pays them first.

    Attributes:
        metadata: How much is owed, for the caller.
    """

    def __init__(self, message: str, *, metadata: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.metadata = metadata


class BusinessSuspended(LedgerRefusal):
    """An admin has suspended the business."""


class Limited(LedgerRefusal):
    """
    A limit of the key was reached; nothing of it was taken.

    Attributes:
        which: requests, tokens or concurrent.
        retry_after_s: When to ask again, in seconds from now.
        rates: What the key has left.
        metadata: The limit, for the caller.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float,
        which: str = "requests",
        rates: Rates | None = None,
        metadata: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.which = which
        self.rates = rates
        self.metadata = metadata


class CapReached(LedgerRefusal):
    """
    The key has spent what it may ever spend, or too little of it is left for the call.

    Attributes:
        cap: What it may spend.
        spent: What it has been charged.
        held: Set aside for calls of it that run.
        metadata: The same for the caller, with what would help it.
    """

    def __init__(
        self,
        message: str,
        *,
        cap: Credits,
        spent: Credits,
        held: Credits,
        metadata: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.cap = cap
        self.spent = spent
        self.held = held
        self.metadata = metadata


class CapHeld(CapReached):
    """There would be enough, but running calls of the key hold it; it may return in a moment."""


class RepeatRefused(StorageError):
    """
    A call may be named by an Idempotency-Key, and this one is not made for that reason.

    Attributes:
        metadata: Which call has the key, for the caller.
    """

    def __init__(self, message: str, *, metadata: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.metadata = metadata


class CallInFlight(RepeatRefused):
    """The first call with the key still runs, here or in another gateway."""


class KeyReused(RepeatRefused):
    """The key names a call that asked for something else."""


class ReplyNotKept(RepeatRefused):
    """The first call was charged, and its reply is not kept: it would be charged twice."""


class KeysExhausted(RepeatRefused):
    """So many keys were used that no more are kept now."""


ACCOUNT_FROZEN = "account_frozen"
"""One account is not served, and the others of its partition are."""

IN_DOUBT = "in_doubt"
"""Redis was asked and did not answer: the change may or may not have been made."""


class LedgerUnavailable(StorageError):
    """
    Redis cannot be asked, or what it says cannot be trusted; calls get 503 meanwhile.

    Attributes:
        reason: One word for logs and metrics: in_doubt, frozen, stale_epoch, loss, ….
    """

    def __init__(self, message: str, *, reason: str = "unavailable") -> None:
        super().__init__(message)
        self.reason = reason


class LedgerCorrupt(StorageError):
    """Redis holds an account or an answer that no script of ours can have written."""


class RecordsUnavailable(StorageError):
    """SQL is away or too busy; the same may work in a moment."""


class SchemaOutdated(StorageError):
    """The tables are not those this code knows; `gateway db upgrade` makes them so."""


class NotFound(StorageError):
    """
    There is no such thing.

    Attributes:
        noun: What was looked for: business, key, purchase, ….
        id: The id that was asked for.
    """

    def __init__(self, noun: str, id: str) -> None:
        super().__init__(f"there is no {noun} {id[:64]!r}")
        self.noun = noun
        self.id = id


class Conflict(StorageError):
    """It is there already, or it is in a state that does not allow this."""


class BadAmount(StorageError):
    """An amount of credits is zero, has the wrong sign, or is too large to be kept exactly."""
