"""
What a batch of outbox entries changes in SQL: decided here, stored by `transactions`.

Redis has checked every change before it made it. What does not fit together here comes
from a Redis that has forgotten something, and is stored and reported all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from metering.money import Credits
from storage import transaction_rows as rows_of
from storage.balance_rows import LedgerRow
from storage.movements import as_ms
from storage.outbox import Entry
from storage.partition_rows import PartitionRow
from storage.transaction_rows import EntryNotUnderstood, number

ALERT_BITS = {"low_balance": 1, "depleted": 2}

Place = tuple[int, int | None]
"""Epoch and seq under which an id is stored."""


@dataclass(slots=True)
class Recorded:
    """
    What became of a batch.

    Attributes:
        done: In SQL, by this batch or an earlier one; to be deleted from Redis.
        new: How many of them this batch stored.
        stale: Of another epoch than SQL's; left alone.
        failed: Cannot be stored as they are; each with why.
        lost: Partitions that a rolled-back Redis was noticed in, each with how.
    """

    done: list[Entry] = field(default_factory=list)
    new: int = 0
    stale: list[Entry] = field(default_factory=list)
    failed: list[tuple[Entry, str]] = field(default_factory=list)
    lost: dict[int, str] = field(default_factory=dict)


class Batch:
    """Entries turned into rows and balances, one after the other."""

    def __init__(
        self,
        partitions: Mapping[int, PartitionRow],
        balances: Mapping[str, LedgerRow],
        stored: Mapping[str, Place],
        armed: Mapping[str, int],
        at: datetime,
    ) -> None:
        """
        Args:
            stored: Ids of this batch that SQL has.
            armed: Business → the credit event that last armed its alerts.
        """
        self._partitions = partitions
        self._before = balances
        self._stored = dict(stored)
        self._armed = armed
        self._at = at
        self._failed: set[str] = set()
        self.balances: dict[str, LedgerRow] = {}
        self.counters: dict[int, int] = {}
        self.transactions: list[dict[str, Any]] = []
        self.movements: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self.recorded = Recorded()

    def decide(self, entries: Iterable[Entry]) -> None:
        """Work through the entries in their order."""
        for entry in entries:
            if entry.why:
                self._fail(entry, entry.why)
            elif not self._is_current(entry):
                self.recorded.stale.append(entry)
            elif entry.business not in self._failed:
                self._decide(entry)

    def _is_current(self, entry: Entry) -> bool:
        partition = self._partitions.get(entry.partition)
        return partition is not None and partition.epoch == entry.epoch

    def _decide(self, entry: Entry) -> None:
        row = self.balances.get(entry.business) or self._before.get(entry.business)
        if row is None:
            self._fail(entry, "SQL knows no such business")
            return
        try:
            if entry.id in self._stored:
                self._compare(entry, self._stored[entry.id])
            else:
                self.balances[row.business] = self._store(entry, row)
                self.recorded.new += 1
        except EntryNotUnderstood as error:
            self._fail(entry, str(error))
            return
        self.recorded.done.append(entry)
        highest = self.counters.get(entry.partition, 0)
        self.counters[entry.partition] = max(highest, entry.counter)

    def _fail(self, entry: Entry, why: str) -> None:
        # Later entries of the business wait: recorded first, they would make this one look
        # like a change that Redis made twice.
        self._failed.add(entry.business)
        self.recorded.failed.append((entry, why))

    def _compare(self, entry: Entry, place: Place) -> None:
        if place != (entry.epoch, entry.seq):
            self._lose(entry, f"its id is stored as epoch {place[0]}, seq {place[1]}")

    def _lose(self, entry: Entry, how: str) -> None:
        what = f"{entry.kind} {entry.id} has epoch {entry.epoch}, seq {entry.seq}; {how}"
        self.recorded.lost.setdefault(entry.partition, f"Redis was rolled back: {what}")

    def _store(self, entry: Entry, row: LedgerRow) -> LedgerRow:
        """Make the rows of a new entry; answers the balance row after it."""
        seq: int | None = entry.seq
        if entry.seq <= row.seq:
            self._lose(entry, f"seq {row.seq} was recorded before")
            seq = None
        store = self._charge if entry.kind == "transaction" else self._take
        taken, owed = store(entry, row, seq)
        self._stored[entry.id] = (entry.epoch, seq)
        return replace(
            row,
            balance=Credits(row.balance.micro - taken),
            owed=Credits(owed),
            seq=max(row.seq, entry.seq),
            epoch=max(row.epoch, entry.epoch),
            alerted=row.alerted | self._alerted(entry),
            is_active=row.is_active and not _ends(entry, row),
        )

    def _charge(self, entry: Entry, row: LedgerRow, seq: int | None) -> tuple[int, int]:
        """A finished call; answers what leaves the balance, and what is owed after it."""
        asked, shortfall = number(entry, "charged"), number(entry, "shortfall")
        charged = self._at_most(entry, asked, row)
        columns = rows_of.transaction(
            entry, charged=charged, shortfall=shortfall + asked - charged, seq=seq, at=self._at
        )
        if entry.fields.get("alerts"):
            self.alerts += rows_of.alerts(entry)
        self.transactions.append(columns)
        return charged, row.owed.micro

    def _take(self, entry: Entry, row: LedgerRow, seq: int | None) -> tuple[int, int]:
        """What was taken back or has expired; answers the same."""
        taken = self._at_most(entry, number(entry, "amount"), row)
        owed = row.owed.micro
        if entry.kind == "taken_back":
            owed += number(entry, "owed_delta")
        if entry.fields.get("alerts"):
            self.alerts += rows_of.alerts(entry)
        if owed < 0:
            self._lose(entry, f"it pays {-owed} micro-credits more than are owed")
        self.movements.append(rows_of.movement(entry, balance_id=row.id, amount=taken, seq=seq))
        return taken, max(0, owed)

    def _at_most(self, entry: Entry, amount: int, row: LedgerRow) -> int:
        # SQL hears of additions first, so it never knows of less than Redis had; a Redis
        # that spent more had forgotten what was spent. A balance is not below zero even so.
        if amount > row.balance.micro:
            self._lose(entry, f"it takes {amount} micro-credits of {row.balance.micro}")
            return row.balance.micro
        return amount

    def _alerted(self, entry: Entry) -> int:
        raised = entry.fields.get("alerts")
        if not raised or entry.credit_seq < self._armed.get(entry.business, 0):
            return 0
        return sum(ALERT_BITS.get(alert, 0) for alert in set(raised.split(",")))


def _ends(entry: Entry, row: LedgerRow) -> bool:
    """
    Whether a booked expiry is that of this row.

    One that refers to a credit event belongs to the row before: the event has opened this
    one. So does one of a time at which this row is still good.
    """
    if entry.kind != "expired" or entry.fields.get("reference"):
        return False
    return row.expires_at is not None and as_ms(row.expires_at) <= entry.at_ms
