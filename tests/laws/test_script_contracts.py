"""What the scripts in storage/lua answer to a call: held, renewed, settled; on each engine."""

from __future__ import annotations

import pytest

from storage import redis_keys
from storage.scripts import NAMES, load
from tests.laws.scripted import BUSINESS, DEADLINES, HOLD, OTHER, Ledger, P

pytestmark = pytest.mark.anyio


async def test_a_hold_takes_its_ceiling_from_what_is_available(ledger: Ledger) -> None:
    """OK says what was granted and what is left beside it; the counter rises by one."""
    await ledger.open("100")

    answer = await ledger.hold("30")

    assert answer == ["OK", 2, 30, 70]
    assert (await ledger.account())["held"] == "30"
    assert (await ledger.account())["total"] == "100"


async def test_a_hold_is_fitted_down_to_its_floor(ledger: Ledger) -> None:
    """What is available is granted when it lies between floor and ceiling."""
    await ledger.open("100")

    assert await ledger.hold("300", "100") == ["OK", 2, 100, 0]


async def test_a_hold_of_one_more_than_there_is_is_refused(ledger: Ledger) -> None:
    """INSUFFICIENT says what is available and held, and changes nothing."""
    await ledger.open("100")
    await ledger.hold("60", id=OTHER)
    before = await ledger.everything()

    assert await ledger.hold("41") == ["INSUFFICIENT", 2, 40, 60, 0]
    assert await ledger.everything() == before
    assert (await ledger.hold("40"))[0] == "OK"


async def test_a_hold_asked_twice_holds_once(ledger: Ledger) -> None:
    """A reply that was lost is asked for again with the same id."""
    await ledger.open("100")
    await ledger.hold("30")
    before = await ledger.everything()

    assert await ledger.hold("30") == ["SAME", 2, 30, 70]
    assert await ledger.everything() == before


async def test_a_hold_of_a_settled_id_is_done(ledger: Ledger) -> None:
    """The terminal answer is given, and nothing is held again."""
    await ledger.open("100")
    await ledger.hold("30")
    await ledger.settle("10")
    before = await ledger.everything()

    assert await ledger.hold("30") == ["DONE", 3, "10 0 90 1 settled"]
    assert await ledger.everything() == before


@pytest.mark.parametrize(
    ("opened", "answer"),
    [
        ({"status": "suspended"}, ["SUSPENDED", 1]),
        ({"owed": "5"}, ["OWED", 1, 5]),
        ({"expires": "1000"}, ["EXPIRED", 1, 1000]),
    ],
)
async def test_a_business_that_may_not_call_is_refused(
    ledger: Ledger, opened: dict[str, str], answer: list[object]
) -> None:
    """Suspended, owing, expired: each is said by its name and nothing changes."""
    await ledger.open("100", **opened)
    before = await ledger.everything()

    assert await ledger.hold("1") == answer
    assert await ledger.everything() == before


async def test_a_settle_charges_and_returns_the_rest(ledger: Ledger) -> None:
    """The hold goes, the row is in the outbox, the answer is kept under the id."""
    await ledger.open("100")
    await ledger.hold("30")

    answer = await ledger.settle("12")

    assert answer == ["OK", 3, 12, 0, 88, 1, "settled"]
    account = await ledger.account()
    assert (account["total"], account["held"], account["seq"]) == ("88", "0", "1")
    (entry,) = await ledger.outbox()
    assert entry.pop("at_ms").isdigit()
    assert entry == {
        "v": "1", "kind": "transaction", "epoch": "1", "counter": "3", "business": BUSINESS,
        "seq": "1", "credit_seq": "0", "balance": "88", "id": HOLD, "charged": "12",
        "shortfall": "0", "granted": "30", "outcome": "settled", "alerts": "", "low_at": "0",
        "row": '{"row":1}',
    }  # fmt: skip
    assert await ledger.redis.zcard(DEADLINES) == 0
    assert await ledger.redis.ttl(redis_keys.answer(P, HOLD)) == -1


async def test_a_settle_asked_twice_charges_once(ledger: Ledger) -> None:
    """DONE brings the stored answer, whatever the second amount is."""
    await ledger.open("100")
    await ledger.hold("30")
    await ledger.settle("12")
    before = await ledger.everything()

    assert await ledger.settle("25") == ["DONE", 3, "12 0 88 1 settled"]
    assert await ledger.everything() == before


async def test_a_settle_takes_more_than_the_hold_only_from_what_is_available(
    ledger: Ledger,
) -> None:
    """The rest is the shortfall; what other calls hold is not touched."""
    await ledger.open("100")
    await ledger.hold("50", id=OTHER)
    await ledger.hold("30")

    assert await ledger.settle("90") == ["OK", 4, 50, 40, 0, 1, "settled"]
    account = await ledger.account()
    assert (account["total"], account["held"]) == ("50", "50")


async def test_a_release_charges_nothing(ledger: Ledger) -> None:
    """It is a settle of nothing, with a row."""
    await ledger.open("100")
    await ledger.hold("30")

    assert await ledger.settle("0", outcome="released") == ["OK", 3, 0, 0, 100, 1, "released"]
    assert [entry["outcome"] for entry in await ledger.outbox()] == ["released"]


async def test_a_settle_without_hold_or_answer_changes_nothing(ledger: Ledger) -> None:
    """NO_HOLD: only SQL knows what became of it."""
    await ledger.open("100")
    before = await ledger.everything()

    assert await ledger.settle("12") == ["NO_HOLD", 1]
    assert await ledger.everything() == before


async def test_an_adopted_settle_needs_no_hold_and_may_give_back(ledger: Ledger) -> None:
    """An adjusted row corrects an orphaned one by a signed difference."""
    await ledger.open("100")

    taken = await ledger.settle("12", mode="adopt", granted="30")
    given = await ledger.settle("-5", id=OTHER, mode="adopt", outcome="adjusted")

    assert taken == ["OK", 2, 12, 0, 88, 1, "settled"]
    assert given == ["OK", 3, -5, 0, 93, 2, "adjusted"]
    assert [entry["granted"] for entry in await ledger.outbox()] == ["30", "0"]


async def test_a_sweep_leaves_a_living_hold_alone(ledger: Ledger) -> None:
    """ALIVE until the lease has ended by the clock of Redis."""
    await ledger.open("100")
    await ledger.hold("30")
    before = await ledger.everything()

    assert await ledger.settle("0", mode="sweep", outcome="orphaned") == ["ALIVE", 2]
    assert await ledger.everything() == before


async def test_a_sweep_charges_the_checkpoint_and_stores_the_note(ledger: Ledger) -> None:
    """The amount that the caller of the sweep names is not used."""
    await ledger.open("100")
    await ledger.hold("30")
    await ledger.renew("7", lease="1")
    await ledger.until_overdue()

    answer = await ledger.settle("29", mode="sweep", outcome="orphaned")

    assert answer == ["OK", 4, 7, 0, 93, 1, "orphaned"]
    assert [entry["row"] for entry in await ledger.outbox()] == ['{"note":1}']


async def test_a_renewal_extends_the_lease_and_never_lowers_the_checkpoint(
    ledger: Ledger,
) -> None:
    """A renewal that was overtaken brings an older figure."""
    await ledger.open("100")
    await ledger.hold("30", lease="1")

    assert await ledger.renew("9") == ["OK", 3]
    assert await ledger.renew("4") == ["OK", 4]
    assert await ledger.redis.hget(redis_keys.holds(P, BUSINESS), HOLD) == '30|9|{"note":1}'
    assert (await ledger.settle("0", mode="sweep", outcome="orphaned"))[0] == "ALIVE"


async def test_an_exact_price_takes_the_place_of_a_higher_figure(ledger: Ledger) -> None:
    """The call has ended; whoever sweeps it charges just that."""
    await ledger.open("100")
    await ledger.hold("10", lease="1")
    await ledger.renew("9")
    assert await ledger.renew("4", exact="exact", lease="1") == ["OK", 4]
    await ledger.until_overdue()

    assert (await ledger.settle("0", mode="sweep", outcome="orphaned"))[2] == 4


async def test_a_renewal_of_a_settled_hold_is_gone(ledger: Ledger) -> None:
    """GONE, and nothing changes."""
    await ledger.open("100")
    before = await ledger.everything()

    assert await ledger.renew("4") == ["GONE", 1]
    assert await ledger.everything() == before


async def test_crossing_a_threshold_is_marked_once_until_a_top_up(ledger: Ledger) -> None:
    """low_balance below the threshold, depleted at zero; an addition arms them again."""
    await ledger.open("100", low_at="50")
    alerts = []
    for id, amount in ((HOLD, "50"), (OTHER, "1"), (HOLD + "1", "9"), (OTHER + "1", "40")):
        await ledger.hold(amount, id=id)
        await ledger.settle(amount, id=id)
    await ledger.credit("1", "add", "60", low_at="50")
    await ledger.hold("11", id=HOLD + "2")
    await ledger.settle("11", id=HOLD + "2")

    alerts = [entry["alerts"] for entry in await ledger.outbox()]

    assert alerts == ["", "low_balance", "", "depleted", "low_balance"]


async def test_a_full_redis_refuses_holds_and_takes_settles(ledger: Ledger) -> None:
    """A settle may pass the memory limit, because OpenAI has billed already."""
    await ledger.open("100")
    await ledger.hold("30")
    await ledger.redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(Exception, match="maxmemory"):
            await ledger.hold("10", id=OTHER)
        assert (await ledger.settle("12"))[0] == "OK"
    finally:
        await ledger.redis.config_set("maxmemory", "0")
    assert (await ledger.account())["held"] == "0"


def test_every_script_says_its_contract() -> None:
    """The head of a file names its keys, its arguments and its answers."""
    for name in NAMES:
        text = load(name).text
        assert "-- KEYS[1]" in text, name
        assert "-- ARGV[1]" in text, name
        # One that only looks has nothing to refuse, and answers what it found.
        assert "-- Answers {" in text if "Changes nothing" in text else "-- Answers {OK" in text
