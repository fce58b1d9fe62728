"""What claim.lua, keep.lua and unclaim.lua answer, on each engine."""

from __future__ import annotations

from typing import Any

import pytest

from storage import redis_keys
from tests.laws.scripted import BUSINESS, HOLD, HOLDS, KEY, OTHER, THIRD, Ledger, P

pytestmark = pytest.mark.anyio

KEPT_OF, KEPT = redis_keys.kept_of(P, BUSINESS), redis_keys.kept(P)
REPLAY = redis_keys.replay(P, BUSINESS, "digest")
DAY = "86400000"
CORRECTION = "01936f00-0000-7000-8000-0000000000cc"
NOT_NUMBERS = ["", "-1", "+1", "01", "1.5", "1e3", " 1", "0x5", "NaN", "1000000000000000"]


async def claim(ledger: Ledger, id: str = HOLD, **more: str) -> list[Any]:
    given = {"asked": "a", "instead_of": "", "says": "", "lifetime": DAY, "size": "512"}
    given |= {"most": "5000", "most_in_all": "5000"} | more
    arguments = [id, given["asked"], given["instead_of"], given["says"], given["lifetime"]]
    arguments += [given["size"], given["most"], given["most_in_all"]]
    keys = [REPLAY, HOLDS, KEPT_OF, KEPT]
    if given["instead_of"]:
        keys += [redis_keys.answer(P, given["instead_of"]), redis_keys.answer(P, CORRECTION)]
    return await ledger._scripts.call("claim", keys, arguments)


async def keep(ledger: Ledger, reply: str = "reply", *, id: str = HOLD, **more: str) -> list[Any]:
    given = {"lifetime": DAY, "most": "5000", "most_in_all": "5000"} | more
    arguments = [id, reply, given["lifetime"], given["most"], given["most_in_all"]]
    return await ledger._scripts.call("keep", [REPLAY, KEPT_OF, KEPT], arguments)


async def unclaim(ledger: Ledger, id: str = HOLD, size: str = "512") -> list[Any]:
    return await ledger._scripts.call("unclaim", [REPLAY, KEPT_OF, KEPT], [id, size])


async def test_a_key_belongs_to_who_claims_it_first(ledger: Ledger) -> None:
    """The other is told whose it is; the first may ask twice, as when its answer was lost."""
    assert await claim(ledger) == ["OK"]
    before = await ledger.everything()

    assert (await claim(ledger, OTHER))[:2] == ["ENDED", HOLD]
    assert (await claim(ledger, OTHER))[2] >= 0
    assert await claim(ledger, OTHER, asked="b") == ["REUSED"]
    assert await ledger.everything() == before
    assert await claim(ledger) == ["OK"]
    assert await ledger.redis.get(KEPT_OF) == "512"


async def test_a_call_runs_while_it_holds_credits(ledger: Ledger) -> None:
    """Whoever has died keeps its key until its hold is swept, and not longer."""
    await ledger.open("100")
    await claim(ledger)
    await ledger.hold("10")

    assert await claim(ledger, OTHER) == ["RUNNING", HOLD]
    assert await claim(ledger, OTHER, instead_of=HOLD) == ["RUNNING", HOLD]
    await ledger.settle("0")
    assert (await claim(ledger, OTHER))[0] == "ENDED"


async def test_the_place_of_an_ended_call_can_be_taken_once(ledger: Ledger) -> None:
    """Two may find out at the same time that it has ended; one of them is the next."""
    await ledger.open("100")
    await claim(ledger)
    await ledger.hold("10")
    await ledger.settle("0")

    assert await claim(ledger, OTHER, instead_of=HOLD) == ["OK"]
    assert (await claim(ledger, "third", instead_of=HOLD))[:2] == ["ENDED", OTHER]
    assert await ledger.redis.get(KEPT_OF) == "512"


async def test_a_charged_call_gives_its_place_to_nobody(ledger: Ledger) -> None:
    """Whatever SQL says; the answer of its settle is what counts."""
    await ledger.open("100")
    await claim(ledger)
    await ledger.hold("10")
    await ledger.settle("7")

    assert await claim(ledger, OTHER, instead_of=HOLD) == ["CHARGED", HOLD, 7]
    assert await claim(ledger, OTHER, instead_of=HOLD, says="free") == ["CHARGED", HOLD, 7]


async def test_a_late_correction_of_a_swept_call_counts(ledger: Ledger) -> None:
    """Its gateway was slow and not dead: nothing at the sweep, the whole price afterwards."""
    await ledger.open("100")
    await claim(ledger)
    await ledger.hold("10")
    await ledger.settle("0", outcome="orphaned")
    await ledger.settle("7", id=CORRECTION, mode="adopt", outcome="adjusted")

    assert await claim(ledger, OTHER, instead_of=HOLD) == ["CHARGED", HOLD, 7]


async def test_a_call_that_redis_knows_nothing_of_is_a_matter_for_sql(ledger: Ledger) -> None:
    """Its answer has come to its end, or it has not begun to hold yet."""
    await claim(ledger)

    assert (await claim(ledger, OTHER, instead_of=HOLD))[:2] == ["ENDED", HOLD]
    assert await claim(ledger, OTHER, instead_of=HOLD, says="free") == ["OK"]


async def test_a_reply_is_kept_for_who_comes_later(ledger: Ledger) -> None:
    """It goes before everything but the question whether the same was asked."""
    await ledger.open("100")
    await claim(ledger)
    await ledger.hold("10")

    assert await keep(ledger) == ["OK"]
    assert await keep(ledger, "another") == ["SAME"]
    assert await claim(ledger, OTHER) == ["KEPT", HOLD, "reply"]
    assert await claim(ledger, OTHER, instead_of=HOLD) == ["KEPT", HOLD, "reply"]
    assert await claim(ledger, OTHER, asked="b") == ["REUSED"]
    assert await ledger.redis.get(KEPT) == str(512 + 5)


async def test_only_the_call_that_has_the_key_keeps_or_lets_go(ledger: Ledger) -> None:
    """One that came back after its place was taken changes nothing."""
    assert await keep(ledger) == ["GONE"]
    assert await unclaim(ledger) == ["GONE"]
    await claim(ledger, OTHER)
    before = await ledger.everything()

    assert await keep(ledger) == ["GONE"]
    assert await unclaim(ledger) == ["GONE"]
    assert await ledger.everything() == before


async def test_a_key_that_is_let_go_of_counts_nothing(ledger: Ledger) -> None:
    """But one with a reply stays."""
    await claim(ledger)

    assert await unclaim(ledger) == ["OK"]
    assert await ledger.redis.exists(REPLAY) == 0
    assert await ledger.redis.get(KEPT_OF) == await ledger.redis.get(KEPT) == "0"
    await claim(ledger)
    await keep(ledger)
    assert await unclaim(ledger) == ["GONE"]


async def test_a_sum_that_has_ended_does_not_come_back_without_an_end(ledger: Ledger) -> None:
    """A key that was counted in the sum of yesterday is let go of today."""
    await claim(ledger)
    await ledger.redis.delete(KEPT_OF, KEPT)

    assert await unclaim(ledger) == ["OK"]
    assert await ledger.redis.exists(KEPT_OF, KEPT) == 0


@pytest.mark.parametrize("bound", ["most", "most_in_all"])
async def test_no_more_is_kept_than_may_be(ledger: Ledger, bound: str) -> None:
    """To the byte, for keys and for replies; nothing changes beyond it."""
    empty = await ledger.everything()
    assert await claim(ledger, **{bound: "511"}) == ["FULL"]
    assert await ledger.everything() == empty
    assert await claim(ledger, **{bound: "512"}) == ["OK"]
    before = await ledger.everything()

    assert await keep(ledger, "12345", **{bound: "516"}) == ["FULL"]
    assert await ledger.everything() == before
    assert await keep(ledger, "12345", **{bound: "517"}) == ["OK"]


async def test_everything_that_is_written_has_an_end(ledger: Ledger) -> None:
    """A day from the claim, from the reply, and from the first byte of a sum."""
    await claim(ledger, lifetime="60000")
    for key in (REPLAY, KEPT_OF, KEPT):
        assert 0 < await ledger.redis.pttl(key) <= 60_000

    await keep(ledger, lifetime="600000")

    assert 60_000 < await ledger.redis.pttl(REPLAY) <= 600_000
    assert 0 < await ledger.redis.pttl(KEPT_OF) <= 60_000


@pytest.mark.parametrize("bad", NOT_NUMBERS)
async def test_what_is_no_number_is_refused(ledger: Ledger, bad: str) -> None:
    """Nothing changes then."""
    empty = await ledger.everything()
    for name in ("lifetime", "size", "most", "most_in_all"):
        assert await claim(ledger, **{name: bad}) == ["BAD"]
    assert await claim(ledger, lifetime="0") == ["BAD"]
    assert await claim(ledger, "") == ["BAD"]
    for name in ("lifetime", "most", "most_in_all"):
        assert await keep(ledger, **{name: bad}) == ["BAD"]
    assert await unclaim(ledger, size=bad) == ["BAD"]
    assert await ledger.everything() == empty


@pytest.mark.parametrize("key", [{}, {"key": KEY}], ids=["", "capped"])
async def test_a_call_whose_key_is_anothers_is_charged_nothing(
    ledger: Ledger, key: dict[str, str]
) -> None:
    """All is shortfall; what it returns is returned, and its own key is charged for."""
    await ledger.open("100")
    await claim(ledger, OTHER)
    late: dict[str, str] = {"mode": "adopt", "outcome": "adjusted", **key}

    taken = await ledger.settle("10", id=HOLD, claimed_by=HOLD, **late)
    returned = await ledger.settle("-3", id=THIRD, claimed_by=THIRD, **late)
    own = await ledger.settle("10", id=OTHER, claimed_by=OTHER, **late)

    assert [answer[2:5] for answer in (taken, returned, own)] == [
        [0, 10, 100], [-3, 0, 103], [10, 0, 93]
    ]  # fmt: skip


async def test_a_key_that_nobody_has_any_more_is_nobody_elses(ledger: Ledger) -> None:
    """A day has gone by, or it was let go of."""
    await ledger.open("100")

    assert (await ledger.settle("10", mode="adopt", claimed_by=HOLD))[2:4] == [10, 0]


async def test_only_a_call_without_a_hold_is_asked_for_its_key(ledger: Ledger) -> None:
    """While it has a hold nobody can take the key; and a sweep does not know of one."""
    await ledger.open("100")
    await ledger.hold("10")
    await claim(ledger, OTHER)
    before = await ledger.everything()

    assert (await ledger.settle("10", claimed_by=HOLD))[0] == "BAD"
    assert (await ledger.settle("0", mode="sweep", claimed_by=HOLD))[0] == "BAD"
    assert await ledger.everything() == before
    assert (await ledger.settle("10", mode="adopt", claimed_by=HOLD))[2:4] == [10, 0]
