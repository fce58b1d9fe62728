"""
The laws of the ledger as a decision: what was seen of one business → what is wrong with it.

It asks nobody: `proof_redis` and `proof_records` do the looking, in an order that makes a
look exact while calls go on. SQL says first what it has recorded, then Redis is read, then
the outbox, then SQL again. What Redis had decided by then is in the outbox or in the second
look at SQL, and what it decided later has a higher seq and is left out here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from metering.money import Credits
from storage.proof_facts import Account, Facts, Waiting


@dataclass(frozen=True, slots=True)
class Violation:
    """
    A law that does not hold.

    Attributes:
        law: L1, L2, L3 or L6.
        what: One word for the way in which it is broken.
        said: The figures, in a sentence.
        difference: What is too much (or, negative, missing): micro-credits or rows.
        rows: Ids of what to look at.
    """

    business: str
    law: str
    what: str
    said: str
    difference: int = 0
    rows: tuple[str, ...] = ()


def broken_laws(facts: Facts) -> list[Violation]:
    """Every way in which L1, L2, L3 and L6 do not hold; empty when all is well."""
    return [*_shape(facts), *_conservation(facts), *_no_gaps(facts), *_money_in(facts)]


def _shape(facts: Facts) -> Iterator[Violation]:
    """L1: held = Σ open holds; 0 ≤ held ≤ total; owed ≥ 0; a deadline for each hold."""
    seen, account = partial(Violation, facts.business, "L1"), facts.account
    if account is None:
        return
    if account.unreadable:
        yield seen("unreadable", "Redis holds what no script can have written", 0,
                   account.unreadable)  # fmt: skip
        return
    if account.held != account.granted:
        yield seen(
            "held",
            f"held is {_credits(account.held)}; {account.holds} open holds make "
            f"{_credits(account.granted)}",
            account.held - account.granted,
        )
    if not 0 <= account.held <= account.total or account.owed < 0:
        yield seen(
            "bounds",
            f"total is {_credits(account.total)}, held {_credits(account.held)}, "
            f"owed {_credits(account.owed)}",
        )
    if account.no_deadline:
        yield seen("deadline", "holds without a deadline are never swept", 0, account.no_deadline)


def _conservation(facts: Facts) -> Iterator[Violation]:
    """L2: Redis has what SQL has, but for what is on its way between the two."""
    seen, account, records = partial(Violation, facts.business, "L2"), facts.account, facts.records
    if not records.has_balance:
        yield seen("no_balance", "SQL has no balance row of it")
        return
    explained = records.moved - records.charged
    if records.balance != explained:
        yield seen(
            "records",
            f"the balance in SQL is {_credits(records.balance)}; movements of "
            f"{_credits(records.moved)} less charges of {_credits(records.charged)} make "
            f"{_credits(explained)}",
            records.balance - explained,
        )
    if records.owed != records.owed_moved:
        yield seen(
            "records_owed",
            f"owed in SQL is {_credits(records.owed)}; movements make "
            f"{_credits(records.owed_moved)}",
            records.owed - records.owed_moved,
        )
    if account is None:
        if facts.before.epoch == facts.before.partition_epoch:
            yield seen("lost", f"Redis has lost its account, opened in epoch {facts.before.epoch}")
    elif not account.unreadable:
        yield from _on_the_way(facts, account)


def _on_the_way(facts: Facts, account: Account) -> Iterator[Violation]:
    seen, records = partial(Violation, facts.business, "L2"), facts.records
    waiting = _undecided(facts, account)
    unreadable = tuple(f"{each.id} ({each.place})" for each in waiting if each.change is None)
    to_sql = sum(each.change or 0 for each in waiting)
    expected = records.balance - records.later - records.to_come + to_sql
    if account.total != expected:
        yield seen(
            "total",
            f"Redis has {_credits(account.total)} and should have {_credits(expected)}: "
            f"{_credits(records.balance - records.later)} in SQL, "
            f"{_credits(records.to_come)} on the way to Redis, "
            f"{_credits(to_sql)} on the way to SQL",
            account.total - expected,
            unreadable,
        )
    owed = records.owed - records.later_owed + sum(each.owed for each in waiting)
    if account.owed != owed:
        yield seen(
            "owed",
            f"Redis says that {_credits(account.owed)} are owed and should say {_credits(owed)}",
            account.owed - owed,
            unreadable,
        )


def _no_gaps(facts: Facts) -> Iterator[Violation]:
    """L3: the changes of a business are numbered 1, 2, 3, … without a gap or a double."""
    seen, account, records = partial(Violation, facts.business, "L3"), facts.account, facts.records
    last = records.seq
    if account is not None and not account.unreadable:
        last = account.seq
        if account.seq < facts.before.seq:
            yield seen(
                "behind",
                f"Redis is at seq {account.seq} and SQL had recorded {facts.before.seq}",
                account.seq - facts.before.seq,
            )
    moved = [each for each in facts.waiting if each.stored not in (None, (each.epoch, each.seq))]
    if moved:
        yield seen("moved", "SQL has these ids under another seq: a rolled-back Redis", 0,
                   tuple(f"{each.id} ({each.place})" for each in moved))  # fmt: skip
    numbered = [each for each in facts.waiting if each.stored is None and each.seq <= last]
    if account is not None:
        # What was buried under an older epoch still explains its seq; all else of it is void.
        numbered = [each for each in numbered if each.epoch == account.epoch or each.is_buried]
    times = Counter(each.seq for each in numbered)
    twice = [
        f"{each.id} ({each.place})"
        for each in numbered
        if (times[each.seq] > 1 or each.seq_is_stored)
        and (account is None or each.epoch == account.epoch)
    ]
    if twice or records.doubled:
        yield seen("doubled", "changes share a seq", 0, (*records.doubled, *twice))
        return
    found = records.rows + sum(not each.seq_is_stored for each in numbered)
    if found != last or (records.lowest is not None and records.lowest < 1):
        yield seen(
            "gap",
            f"the last seq is {last}; {records.rows} rows in SQL and {found - records.rows} on "
            f"the way to it make {found}",
            found - last,
        )


def _money_in(facts: Facts) -> Iterator[Violation]:
    """L6: each payment is credited once; each credit event is applied once, in order."""
    seen, account, records = partial(Violation, facts.business, "L6"), facts.account, facts.records
    if not records.events == records.last_event == records.credit_seq:
        yield seen(
            "events",
            f"credit_seq is {records.credit_seq}; SQL has {records.events} credit events, the "
            f"last of them {records.last_event}",
            records.events - records.credit_seq,
        )
    if records.same_reference:
        yield seen("reference", "purchases share a payment reference", 0, records.same_reference)
    if records.stray:
        yield seen("stray", "credits were added for receipts that are not there", 0, records.stray)
    for receipt in records.receipts:
        due = receipt.bought if receipt.status in ("completed", "refunded") else 0
        if receipt.credited != due:
            yield seen(
                "receipt",
                f"a {receipt.status} purchase of {_credits(receipt.bought)} was credited "
                f"{_credits(receipt.credited)}",
                receipt.credited - due,
                (receipt.id,),
            )
    if account is None or account.unreadable:
        return
    if account.credit_seq > records.credit_seq:
        yield seen(
            "applied",
            f"Redis has applied credit event {account.credit_seq}; SQL has {records.credit_seq}",
            account.credit_seq - records.credit_seq,
        )
    yield from _takes(facts, account)


def _takes(facts: Facts, account: Account) -> Iterator[Violation]:
    """Each take-back that Redis has applied was answered once, with all of its amount."""
    seen = partial(Violation, facts.business, "L6")
    coming = [each for each in facts.waiting if each.stored is None and each.answers]
    for take in facts.records.takes:
        answers = list(take.answered)
        for each in coming:
            if each.answers == take.id:
                answers.append(each.owed - (each.change or 0))
        # One that comes later than the account was read is answered later, too.
        if take.credit_seq > account.credit_seq:
            continue
        if answers != [take.amount]:
            said = " + ".join(_credits(answer) for answer in answers) or "nothing"
            yield seen(
                "take",
                f"credit event {take.credit_seq} takes {_credits(take.amount)}; answered: {said}",
                sum(answers) - take.amount,
                (take.id,),
            )


def _undecided(facts: Facts, account: Account) -> list[Waiting]:
    """What Redis had decided when it was read, and SQL had not stored when it was."""
    return [
        each
        for each in facts.waiting
        if each.stored is None and each.epoch == account.epoch and each.seq <= account.seq
    ]


def _credits(micro: int) -> str:
    return str(Credits(micro))
