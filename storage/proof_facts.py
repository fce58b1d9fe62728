"""What is seen of one business: the facts on which `proof` decides. Amounts in micro-credits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """
    An account in Redis and its holds, at one moment; amounts in micro-credits.

    Attributes:
        granted: What all holds together were granted.
        unreadable: Fields of the account, or ids of holds, that no script can have written.
        no_deadline: Holds that no sweep would ever find.
    """

    epoch: int
    total: int
    held: int
    owed: int
    seq: int
    credit_seq: int
    holds: int = 0
    granted: int = 0
    unreadable: tuple[str, ...] = ()
    no_deadline: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    A change that Redis made, in the outbox or among the dead letters.

    Attributes:
        place: Where it lies, for people: `outbox 12-0`.
        change: Of the total, signed micro-credits; None when it cannot be read.
        owed: Change of what is owed, signed micro-credits.
        stored: Epoch and seq under which SQL has its id; None when it has not.
        seq_is_stored: SQL has a row of this business with its seq, whatever its id.
        is_buried: It is a dead letter.
    """

    id: str
    place: str
    epoch: int
    seq: int
    change: int | None
    owed: int = 0
    answers: str = ""
    stored: tuple[int, int | None] | None = None
    seq_is_stored: bool = False
    is_buried: bool = False


@dataclass(frozen=True, slots=True)
class Before:
    """What SQL had recorded before Redis was read; `partition_epoch` is the valid one."""

    partition_epoch: int = 1
    epoch: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Take:
    """A credit event that takes back, and how Redis answered it."""

    id: str
    credit_seq: int
    amount: int
    answered: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """A purchase, and what its movements have credited; micro-credits."""

    id: str
    status: str
    bought: int
    credited: int


@dataclass(frozen=True, slots=True)
class Records:
    """
    What SQL has of a business after Redis was read; amounts in micro-credits.

    Attributes:
        has_balance: Whether there is a balance row, active or expired.
        moved, charged: Sums over all movements, and over all transactions.
        rows: Rows with a seq up to the account's; all of them where there is no account.
        later, later_owed: Changes of the balance, and of what is owed, by rows after the
            account's seq: recorded since Redis was read.
        to_come: Additions with a credit_seq above the account's.
        owed_moved: What is owed according to the movements.
        events, last_event: Number and highest credit_seq of the credit events.
        doubled: Ids of rows that share a seq.
        same_reference: Ids of purchases that share provider and reference.
        stray: References of credited movements that name no receipt.
    """

    has_balance: bool = True
    balance: int = 0
    owed: int = 0
    seq: int = 0
    credit_seq: int = 0
    moved: int = 0
    charged: int = 0
    rows: int = 0
    lowest: int | None = None
    later: int = 0
    later_owed: int = 0
    to_come: int = 0
    owed_moved: int = 0
    events: int = 0
    last_event: int = 0
    doubled: tuple[str, ...] = ()
    same_reference: tuple[str, ...] = ()
    stray: tuple[str, ...] = ()
    takes: tuple[Take, ...] = ()
    receipts: tuple[Receipt, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was seen of one business. No account: none was opened in this epoch."""

    business: str
    before: Before
    account: Account | None
    records: Records
    waiting: tuple[Waiting, ...] = ()
