"""Settlement: what is to be charged for one call, and the row that records it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from metering.money import Credits, Usd
from storage.ids import adjusted_id
from storage.replays import Claim


@dataclass(slots=True)
class Settlement:
    """
    How one call ends.

    `row` has the columns of the transaction that the ledger does not know; `adopt` goes
    on without a hold; `only_if_held` records nothing when there is no hold, because it was
    never known whether one was made; `tokens` is what the call used, where the limits of
    its key are told; `claim` is of a call with an Idempotency-Key; `noted_cost` is what its
    hold says that the call cost us, for who sweeps it.
    """

    business: str
    id: str
    amount: Credits
    outcome: str
    granted: Credits
    row: dict[str, object]
    adopt: bool = False
    only_if_held: bool = False
    tokens: int | None = None
    claim: Claim | None = None
    noted_cost: Usd = Usd(0)

    @property
    def cost(self) -> Usd:
        """What the call costs us in all: of a correction with the row that it corrects."""
        before = self.noted_cost if self.outcome == "adjusted" else Usd(0)
        return Usd(int(str(self.row["cost_pico"])) + before.pico)

    @property
    def key(self) -> str | None:
        """The key that called."""
        key = self.row.get("key_id")
        return key if isinstance(key, str) else None

    def row_text(self) -> str:
        return msgspec.json.encode(self.row).decode()


def adjusted(settlement: Settlement, *, charged: Credits) -> Settlement:
    """
    The row that corrects an orphaned one: the difference of charge and cost, signed.

    The orphaned row has no usage, so this one has all of it: both together say what the
    call used, cost and was charged, and its usage explains the sums of the two.

    Its id follows from the call's, so that it can be made only once. Where its
    Idempotency-Key was taken over meanwhile the ledger charges nothing: who repeated the
    call pays for the repetition, and the shortfall is ours.
    """
    return replace(
        settlement,
        id=adjusted_id(settlement.id),
        amount=settlement.amount - charged,
        outcome="adjusted",
        row={
            **settlement.row,
            "adjusts": settlement.id,
            "cost_pico": str(settlement.cost.pico - settlement.noted_cost.pico),
        },
        adopt=True,
    )
