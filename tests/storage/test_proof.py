"""The laws as a decision: each kind of difference is planted, and told as what it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from storage.proof import broken_laws
from storage.proof_facts import Account, Before, Facts, Receipt, Records, Take, Waiting

# 50 credits were bought, 2.50 and 2.00 are recorded as used, 1.00 is in the outbox; a call
# that runs holds 3.00.
ACCOUNT = Account(
    epoch=1, total=44_500_000, held=3_000_000, owed=0, seq=3, credit_seq=1,
    holds=1, granted=3_000_000,
)  # fmt: skip
RECORDS = Records(
    balance=45_500_000, seq=2, credit_seq=1, moved=50_000_000, charged=4_500_000,
    rows=2, lowest=1, events=1, last_event=1,
    receipts=(Receipt("receipt", "completed", 50_000_000, 50_000_000),),
)  # fmt: skip
COMING = Waiting("call-3", "outbox 0 7-0", epoch=1, seq=3, change=-1_000_000)
FACTS = Facts("acme", Before(epoch=1, seq=2), ACCOUNT, RECORDS, (COMING,))


def seen(
    *waiting: Waiting, account: dict[str, Any] | None = None, before: Before | None = None,
    **records: Any,
) -> Facts:  # fmt: skip
    """The sound business, with some of it replaced."""
    return replace(
        FACTS,
        account=replace(ACCOUNT, **(account or {})),
        before=before or FACTS.before,
        records=replace(RECORDS, **records),
        waiting=waiting or FACTS.waiting,
    )


def told(facts: Facts) -> list[tuple[str, str, int]]:
    return [(each.law, each.what, each.difference) for each in broken_laws(facts)]


def test_a_sound_ledger_breaks_no_law():
    """What is held, on its way, and recorded fits together to the last micro-credit."""
    assert broken_laws(FACTS) == []


PLANTED = {
    "one micro-credit too much in Redis": (
        seen(account={"total": 44_500_001}), [("L2", "total", 1)]),
    "one micro-credit too little in Redis": (
        seen(account={"total": 44_499_999}), [("L2", "total", -1)]),
    "held is not what the holds make": (
        seen(account={"held": 3_000_001}), [("L1", "held", 1)]),
    "a hold that was forgotten": (
        seen(account={"holds": 0, "granted": 0}), [("L1", "held", 3_000_000)]),
    "more held than there is": (
        seen(account={"held": 44_500_001, "granted": 44_500_001}), [("L1", "bounds", 0)]),
    "less than nothing held": (
        seen(account={"held": -1, "granted": -1}), [("L1", "bounds", 0)]),
    "less than nothing owed": (
        seen(account={"owed": -1}), [("L1", "bounds", 0), ("L2", "owed", -1)]),
    "a hold that no sweep would find": (
        seen(account={"no_deadline": ("hold",)}), [("L1", "deadline", 0)]),
    "an account that no script has written": (
        seen(account={"unreadable": ("total",), "total": 0, "seq": 9}), [("L1", "unreadable", 0)]),
    "a balance row off by one": (
        seen(balance=45_500_001), [("L2", "records", 1), ("L2", "total", -1)]),
    "no balance row": (
        seen(has_balance=False), [("L2", "no_balance", 0)]),
    "a transaction row that is gone": (
        seen(charged=2_500_000, rows=1),
        [("L2", "records", -2_000_000), ("L3", "gap", -1)]),
    "a seq that two rows share": (
        seen(rows=3, doubled=("a", "b")), [("L3", "doubled", 0)]),
    "a gap in the numbers": (
        seen(account={"seq": 4}), [("L3", "gap", -1)]),
    "a row below the first number": (
        seen(lowest=0), [("L3", "gap", 0)]),
    "a Redis that is behind SQL": (
        seen(before=Before(epoch=1, seq=4)), [("L3", "behind", -1)]),
    "a credit event that Redis applied twice": (
        seen(account={"total": 94_500_000}), [("L2", "total", 50_000_000)]),
    "a credit event that Redis counts and did not apply": (
        seen(account={"credit_seq": 2}, balance=55_500_000, moved=60_000_000, credit_seq=2,
             events=2, last_event=2),
        [("L2", "total", -10_000_000)]),
    "a credit event that only Redis knows": (
        seen(account={"credit_seq": 2}), [("L6", "applied", 1)]),
    "a credit event that is gone": (
        seen(events=0, last_event=0), [("L6", "events", -1)]),
    "a credit event that is gone from the middle": (
        seen(account={"credit_seq": 2}, credit_seq=2, events=1, last_event=2),
        [("L6", "events", -1)]),
    "a credit event out of its order": (
        seen(last_event=2), [("L6", "events", 0)]),
    "purchases that share a reference": (
        seen(same_reference=("p", "q")), [("L6", "reference", 0)]),
    "a payment that was credited twice": (
        seen(receipts=(Receipt("p", "completed", 50, 100),)), [("L6", "receipt", 50)]),
    "a payment that was not credited": (
        seen(receipts=(Receipt("p", "completed", 50, 0),)), [("L6", "receipt", -50)]),
    "a payment that failed and was credited": (
        seen(receipts=(Receipt("p", "failed", 50, 50),)), [("L6", "receipt", 50)]),
    "credits for a receipt that is not there": (
        seen(stray=("p",)), [("L6", "stray", 0)]),
    "an entry whose id SQL has elsewhere": (
        seen(COMING, replace(COMING, id="call-2", stored=(1, 9))), [("L3", "moved", 0)]),
    "an entry with the seq of a row": (
        seen(replace(COMING, seq_is_stored=True)), [("L3", "doubled", 0)]),
    "two entries with one seq": (
        seen(COMING, replace(COMING, id="other", change=0)), [("L3", "doubled", 0)]),
    "an entry whose amount nobody can read": (
        seen(replace(COMING, change=None)), [("L2", "total", -1_000_000)]),
    "what is owed is told otherwise": (
        seen(account={"owed": 5}), [("L2", "owed", 5)]),
    "what is owed is recorded otherwise": (
        seen(account={"owed": 5}, owed=5), [("L2", "records_owed", 5)]),
    "a take-back that was not answered": (
        seen(takes=(Take("take", 1, 10),)), [("L6", "take", -10)]),
    "a take-back that was answered twice": (
        seen(takes=(Take("take", 1, 10, (10, 10)),)), [("L6", "take", 10)]),
    "a take-back of which a part is missing": (
        seen(takes=(Take("take", 1, 10, (9,)),)), [("L6", "take", -1)]),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_difference_is_told(planted):
    """As the law that it breaks, and by how much."""
    facts, expected = PLANTED[planted]

    assert told(facts) == expected
    assert all(each.business == "acme" and each.said for each in broken_laws(facts))


SOUND = {
    "an entry that SQL has already": seen(
        COMING, replace(COMING, id="call-2", seq=2, change=-2_000_000, stored=(1, 2))
    ),
    "an entry that came after the account was read": seen(
        COMING, replace(COMING, id="call-4", seq=4, change=-9)
    ),
    "a row that came after the account was read": seen(
        balance=45_499_991, seq=4, charged=4_500_009, later=-9
    ),
    "a dead letter": seen(replace(COMING, place="dead letter 1", is_buried=True)),
    "an addition that Redis does not have yet": seen(
        balance=55_500_000, moved=60_000_000, to_come=10_000_000, credit_seq=2, events=2,
        last_event=2,
    ),
    "an entry of an older epoch, which is void": seen(
        COMING, replace(COMING, id="old", epoch=0, seq=2, change=-7)
    ),
    "a take-back in the outbox, of which a part is owed": seen(
        replace(COMING, owed=4, answers="take", change=-1_000_000),
        account={"owed": 4}, takes=(Take("take", 1, 1_000_004),),
    ),
    "a take-back that Redis does not have yet": seen(
        takes=(Take("take", 2, 10),), credit_seq=2, events=2, last_event=2
    ),
    "what was owed and recorded after the account was read": seen(
        owed=6, owed_moved=6, later_owed=6
    ),
    "a refunded purchase": seen(receipts=(Receipt("p", "refunded", 50, 50),)),
    "a payment that is pending": seen(receipts=(Receipt("p", "pending", 50, 0),)),
}  # fmt: skip


@pytest.mark.parametrize("situation", SOUND)
def test_what_is_on_its_way_breaks_no_law(situation):
    """Between the stores there is always something; each of it is counted once."""
    assert broken_laws(SOUND[situation]) == []


def test_an_account_that_was_never_opened_is_nothing_lost():
    """SQL alone then explains the balance."""
    records = replace(RECORDS, balance=50_000_000, charged=0, rows=0, seq=0, lowest=None)

    assert broken_laws(Facts("acme", Before(epoch=0), None, records)) == []


def test_an_account_that_was_opened_in_this_epoch_and_is_gone_is_lost():
    """SQL noted that it was there."""
    facts = replace(FACTS, account=None, waiting=())

    assert told(facts) == [("L2", "lost", 0)]


def test_an_account_of_an_older_epoch_is_opened_anew_by_the_next_call():
    """After a recovery SQL alone explains the balance."""
    facts = replace(FACTS, account=None, waiting=(), before=Before(partition_epoch=2, epoch=1))

    assert broken_laws(facts) == []


def test_a_dead_letter_of_an_older_epoch_explains_its_seq_and_no_credits():
    """The recovery opened the account without it."""
    letter = Waiting("call-3", "dead letter", epoch=1, seq=3, change=-7, is_buried=True)
    account = replace(ACCOUNT, epoch=2, total=45_500_000)

    assert broken_laws(replace(FACTS, account=account, waiting=(letter,))) == []


def test_the_unreadable_are_named():
    """Where the figures do not fit, what could not be read is the first to look at."""
    [violation] = broken_laws(seen(replace(COMING, change=None)))

    assert violation.rows == ("call-3 (outbox 0 7-0)",)
    assert "Redis has 44.50 and should have 45.50" in violation.said
