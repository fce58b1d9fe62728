"""What the scripts in storage/lua answer when the time of a balance has come; on each engine."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.laws.scripted import ACCOUNT, BUSINESS, FAR, HOLD, META, OTHER, Ledger

pytestmark = pytest.mark.anyio

PAST = "1000"
T = 1_795_348_800_000


def told(entries: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(entry["kind"], entry.get("amount", ""), entry["alerts"]) for entry in entries]


async def test_what_is_available_is_booked_once(ledger: Ledger) -> None:
    """The entry says how much it was; asked again, nothing is available and nothing changes."""
    await ledger.open("100", expires=PAST, credit_seq="3", seq="7")

    assert await ledger.expire("3") == ["OK", 2, 100]
    before = await ledger.everything()
    assert await ledger.expire("3") == ["OK", 2, 0]
    assert await ledger.everything() == before

    (entry,) = await ledger.outbox()
    at_ms, id = int(entry.pop("at_ms")), UUID(entry.pop("id"))
    assert entry == {
        "v": "1", "kind": "expired", "epoch": "1", "counter": "2", "business": BUSINESS,
        "seq": "8", "credit_seq": "3", "balance": "0", "amount": "100", "alerts": "expired",
        "reference": "",
    }  # fmt: skip
    assert (id.version, id.int >> 80) == (7, at_ms)
    account = await ledger.account()
    assert (account["total"], account["seq"], account["alerted"]) == ("0", "8", "4")


async def test_what_is_held_expires_after_its_settle(ledger: Ledger) -> None:
    """Credits behind an open hold are never taken from it; the owner is told once."""
    await ledger.open("100")
    await ledger.hold("60")
    await ledger.redis.hset(ACCOUNT, "expires_at_ms", PAST)

    assert await ledger.expire() == ["OK", 3, 40]
    assert await ledger.expire() == ["OK", 3, 0]
    assert await ledger.settle("45") == ["OK", 4, 45, 0, 15, 2, "settled"]
    assert await ledger.expire() == ["OK", 5, 15]
    assert await ledger.expire() == ["OK", 5, 0]

    entries = await ledger.outbox()
    assert told(entries) == [
        ("expired", "40", "expired"), ("transaction", "", ""), ("expired", "15", ""),
    ]  # fmt: skip
    assert [entry["seq"] for entry in entries] == ["1", "2", "3"]
    assert len({entry["id"] for entry in entries}) == 3


async def test_an_expiry_with_nothing_left_is_told_all_the_same(ledger: Ledger) -> None:
    """One entry of nothing, because the balance has ended; a second one is not written."""
    await ledger.open("0", expires=PAST)

    assert await ledger.expire() == ["OK", 2, 0]
    assert await ledger.expire() == ["OK", 2, 0]

    assert told(await ledger.outbox()) == [("expired", "0", "expired")]


async def test_a_balance_that_is_still_good_is_left_alone(ledger: Ledger) -> None:
    """NOT_YET before its time, and when there is none."""
    await ledger.open("100", expires=FAR)
    before = await ledger.everything()

    assert await ledger.expire() == ["NOT_YET", 1, int(FAR)]
    assert await ledger.everything() == before
    await ledger.redis.hset(ACCOUNT, "expires_at_ms", "0")
    assert await ledger.expire() == ["NOT_YET", 1, 0]


@pytest.mark.parametrize(
    ("now_ms", "held", "expired"),
    [
        (T - 1, ["OK", 2, 10, 90], ["NOT_YET", 1, T]),
        (T, ["EXPIRED", 1, T], ["OK", 2, 100]),
        (T + 1, ["EXPIRED", 1, T], ["OK", 2, 100]),
    ],
)
async def test_the_expiry_is_one_millisecond(
    ledger: Ledger, now_ms: int, held: list[object], expired: list[object]
) -> None:
    """Up to it credits can be held and cannot expire; from it on it is the other way round."""
    await ledger.open("100", expires=str(T))
    call = ["1", BUSINESS, HOLD, "10", "10", "60000", "{}"]

    assert await ledger.at(now_ms, "expire", "1", BUSINESS, "0") == expired
    await ledger.redis.delete(ACCOUNT)
    await ledger.redis.hset(META, "counter", "0")
    await ledger.open("100", expires=str(T))
    assert await ledger.at(now_ms, "hold", *call) == held


async def test_a_credit_event_that_is_missing_comes_first(ledger: Ledger) -> None:
    """BEHIND: a top-up that SQL has may have moved the expiry; nothing changes."""
    await ledger.open("100", expires=PAST, credit_seq="3")
    before = await ledger.everything()

    assert await ledger.expire("4") == ["BEHIND", 1, 3]
    assert await ledger.everything() == before
    await ledger.credit("4", "add", "30", expires=FAR)
    assert await ledger.expire("4") == ["NOT_YET", 2, int(FAR)]


async def test_what_is_owed_is_paid_before_anything_expires(ledger: Ledger) -> None:
    """Credits pay a debt rather than vanish; both are entries of their own."""
    await ledger.open("100", owed="30", expires=PAST)

    assert await ledger.expire() == ["OK", 2, 70]

    entries = await ledger.outbox()
    assert told(entries) == [("taken_back", "30", ""), ("expired", "70", "expired")]
    assert (entries[0]["owed_delta"], entries[0]["reference"]) == ("-30", entries[1]["id"])
    assert (await ledger.account())["owed"] == "0"


async def test_an_addition_books_the_expired_rest_first(ledger: Ledger) -> None:
    """What was left does not last as long as what was bought after it; what is held does."""
    await ledger.open("100", credit_seq="1")
    await ledger.hold("60")
    await ledger.redis.hset(ACCOUNT, "expires_at_ms", PAST)

    assert await ledger.credit("2", "add", "30", ended=PAST) == ["OK", 3, 90]
    before = await ledger.everything()
    assert await ledger.credit("2", "add", "30", ended=PAST) == ["APPLIED", 3, 2]
    assert await ledger.everything() == before
    assert await ledger.hold("31", id=OTHER) == ["INSUFFICIENT", 3, 30, 60, int(FAR)]
    assert (await ledger.settle("45"))[4] == 45
    assert (await ledger.expire("2"))[0] == "NOT_YET"

    entry = (await ledger.outbox())[0]
    assert (entry["kind"], entry["amount"], entry["alerts"]) == ("expired", "40", "expired")
    assert (entry["credit_seq"], entry["reference"]) == (
        "1",
        "01936f00-0000-7000-8000-000000000002",
    )


async def test_an_addition_answers_for_the_expiry_even_when_nothing_was_left(
    ledger: Ledger,
) -> None:
    """SQL asked for it, and waits for the answer when it opens the account anew."""
    await ledger.open("50", expires=PAST, credit_seq="1")
    await ledger.expire("1")

    await ledger.credit("2", "add", "30", ended=PAST)

    assert told(await ledger.outbox()) == [("expired", "50", "expired"), ("expired", "0", "")]


async def test_an_addition_in_time_keeps_what_was_left(ledger: Ledger) -> None:
    """It was bought before the end, though Redis hears of it afterwards."""
    await ledger.open("100", expires=PAST)

    assert await ledger.credit("1", "add", "30", expires=FAR) == ["OK", 2, 130]
    assert await ledger.outbox() == []


async def test_a_new_expiry_is_told_anew(ledger: Ledger) -> None:
    """An addition that moves the expiry arms its alert; settings do not."""
    await ledger.open("50", expires=PAST)
    await ledger.expire()
    await ledger.credit("1", "configure", "0", expires=PAST)
    await ledger.expire("1")
    await ledger.credit("2", "add", "30", expires="2000")

    assert (await ledger.expire("2"))[2] == 30

    assert told(await ledger.outbox()) == [
        ("expired", "50", "expired"),
        ("expired", "30", "expired"),
    ]


async def test_nobody_is_told_that_an_expired_balance_is_low(ledger: Ledger) -> None:
    """What is settled after the expiry crosses thresholds, and the owner knows already."""
    await ledger.open("100", low_at="50")
    await ledger.hold("100")
    await ledger.redis.hset(ACCOUNT, "expires_at_ms", PAST)
    await ledger.expire()

    await ledger.settle("100")

    assert [entry["alerts"] for entry in await ledger.outbox()] == ["expired", ""]


async def test_expire_refuses_what_every_script_refuses(ledger: Ledger) -> None:
    """Another epoch, no account, one that is frozen or corrupt, a number that is none."""
    assert await ledger.expire() == ["NO_ACCOUNT", 0]
    await ledger.open("100", expires=PAST)
    assert await ledger.expire(epoch="2") == ["STALE_EPOCH", 1, "1"]
    for bad in ("", "-1", "1e3", "01", "1000000000000000"):
        assert await ledger.expire(bad) == ["BAD", 1]
        assert await ledger.credit("1", "add", "1", ended=bad) == ["BAD", 1]
    assert await ledger.credit("1", "configure", "0", ended=PAST) == ["BAD", 1]
    assert await ledger.credit("1", "take", "1", ended=PAST) == ["BAD", 1]
    await ledger.redis.hset(ACCOUNT, "frozen", "a test")
    assert await ledger.expire() == ["ACCOUNT_FROZEN", 1, "a test"]
    await ledger.redis.hset(ACCOUNT, "total", "12.5")
    assert await ledger.expire() == ["CORRUPT", 1]
    await ledger.freeze("all of it")
    assert await ledger.expire() == ["FROZEN", 1, "all of it"]
    assert await ledger.outbox() == []
