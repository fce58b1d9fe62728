"""The model beside the ledger: what an account must be after each step."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Model:
    """What one business's account must be."""

    business: str
    total: int = 0
    held: int = 0
    owed: int = 0
    status: str = "active"
    holds: dict[str, tuple[int, int]] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    dying: set[str] = field(default_factory=set)
    pending: list[tuple[str, int]] = field(default_factory=list)
    bought: int = 0

    @property
    def available(self) -> int:
        return self.total - self.held

    def applies(self, verb: str, amount: int) -> None:
        if verb == "add":
            self.total += amount
            self.pays_owed()
        elif verb == "take":
            taken = min(amount, self.available)
            self.total -= taken
            self.owed += amount - taken
        else:
            self.status = verb

    def pays_owed(self) -> None:
        paid = min(self.owed, self.available)
        self.total -= paid
        self.owed -= paid

    def settles(self, id: str, amount: int) -> int:
        granted, _ = self.holds.pop(id, (0, 0))
        self.dying.discard(id)
        charged = min(amount, granted + self.available)
        self.total -= charged
        self.held -= granted
        self.settled[id] = charged
        self.pays_owed()
        return charged
