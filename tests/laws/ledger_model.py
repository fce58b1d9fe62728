"""The model beside the ledger: what an account must be after each step."""

from __future__ import annotations

from dataclasses import dataclass, field

LOW, DEPLETED, EXPIRED = 1, 2, 4


@dataclass(frozen=True)
class Event:
    """
    A credit event that SQL has written, with the settings that hold from it on.

    `ends` says that SQL found the balance expired, and still to be booked.
    """

    verb: str
    amount: int
    low_at: int
    status: str
    ends: bool = False


@dataclass
class Key:
    """
    What is counted of one key.

    Attributes:
        cap: None for a key that has rates only.
        counts_from: The seq after which Redis counts; None while it does not.
        is_counted: Whether Redis knows what was spent before.
        is_held_to_cap: Whether a call was let in under the cap since then.
    """

    id: str
    at_once: int
    requests: int
    cap: int | None
    spent: int = 0
    asked: int = 0
    holds: dict[str, int] = field(default_factory=dict)
    counts_from: int | None = None
    is_counted: bool = False
    is_held_to_cap: bool = False

    @property
    def held(self) -> int:
        return sum(self.holds.values())

    @property
    def room(self) -> int:
        """What may still be charged to it, beside what it holds."""
        if self.cap is None or not self.is_held_to_cap:
            return 10**15
        return max(0, self.cap - self.spent - self.held)

    def forgets(self) -> None:
        self.counts_from, self.is_counted, self.is_held_to_cap = None, False, False


@dataclass
class Model:
    """
    What one business's account must be.

    Attributes:
        has_ended: Its expiry lies in the past.
        written_low_at, written_status: As SQL has them; Redis hears of them later.
        told: Alerts that must have been raised: type, credit_seq, threshold.
        expired: What must have been booked as expired.
    """

    business: str
    total: int = 0
    held: int = 0
    owed: int = 0
    status: str = "active"
    low_at: int = 10_000_000
    credit_seq: int = 0
    alerted: int = 0
    has_ended: bool = False
    written_status: str = "active"
    written_low_at: int = 10_000_000
    holds: dict[str, tuple[int, int]] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    dying: set[str] = field(default_factory=set)
    pending: list[Event] = field(default_factory=list)
    told: list[tuple[str, int, int]] = field(default_factory=list)
    bought: int = 0
    called_by: dict[str, Key] = field(default_factory=dict)
    expired: int = 0

    @property
    def available(self) -> int:
        return self.total - self.held

    def writes(self, verb: str, amount: int = 0, *, ends: bool = False) -> None:
        """SQL has written an event."""
        event = Event(verb, amount, self.written_low_at, self.written_status, ends)
        self.pending.append(event)

    def applies(self, event: Event) -> None:
        if event.ends:
            self.expires()
        self.credit_seq += 1
        self.low_at, self.status = event.low_at, event.status
        if event.verb == "add":
            self.has_ended = False
            self.alerted &= ~EXPIRED
            self.total += event.amount
            self.pays_owed()
            self.arms()
        elif event.verb == "take":
            taken = min(event.amount, self.available)
            self.total -= taken
            self.owed += event.amount - taken
            self.crosses()
        else:
            self.arms()

    def applies_all(self) -> None:
        for event in self.pending:
            self.applies(event)
        self.pending.clear()

    def arms(self) -> None:
        if self.total >= self.low_at:
            self.alerted &= ~LOW
        if self.total > 0:
            self.alerted &= ~DEPLETED

    def crosses(self) -> None:
        if self.alerted & EXPIRED:
            return
        if self.total < self.low_at and not self.alerted & LOW:
            self.alerted |= LOW
            self.told.append(("low_balance", self.credit_seq, self.low_at))
        if self.total == 0 and not self.alerted & DEPLETED:
            self.alerted |= DEPLETED
            self.told.append(("depleted", self.credit_seq, 0))

    def expires(self) -> int:
        """Book what is available; the answer is how much."""
        self.pays_owed()
        amount = self.available
        self.total -= amount
        self.expired += amount
        if not self.alerted & EXPIRED:
            self.alerted |= EXPIRED
            self.told.append(("expired", self.credit_seq, 0))
        return amount

    def pays_owed(self) -> None:
        paid = min(self.owed, self.available)
        if paid:
            self.total -= paid
            self.owed -= paid
            self.crosses()

    def most(self, id: str) -> int:
        """What can be charged for a call."""
        granted, _ = self.holds.get(id, (0, 0))
        key = self.called_by.get(id)
        return granted + (min(self.available, key.room) if key else self.available)

    def settles(self, id: str, amount: int) -> int:
        charged = min(amount, self.most(id))
        granted, _ = self.holds.pop(id, (0, 0))
        self.dying.discard(id)
        if key := self.called_by.get(id):
            key.holds.pop(id, None)
            key.spent += charged
        self.total -= charged
        self.held -= granted
        self.settled[id] = charged
        self.crosses()
        self.pays_owed()
        return charged
