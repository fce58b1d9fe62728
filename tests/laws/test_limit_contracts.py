"""What hold and settle do with the limits of a key, on each engine."""

from __future__ import annotations

import pytest

from tests.laws.scripted import HOLD, HOLDS, LIMITS, OTHER, THIRD, Ledger

pytestmark = pytest.mark.anyio


async def test_a_call_takes_one_request_its_tokens_and_a_place(ledger: Ledger) -> None:
    """OK brings what is left and how long until all of it is; the hold notes what was taken."""
    await ledger.open("100")

    answer = await ledger.hold("30", requests="60", per_minute="6000", at_once="2", tokens="600")

    assert answer == ["OK", 2, 30, 70, 59, 1000, 5400, 6000]
    limits = await ledger.limits()
    assert (limits["open"], limits["held"]) == ("1", "30")
    good_at = int(limits["at_ms"]) + 6000
    hold = await ledger.redis.hget(HOLDS, HOLD)
    assert hold == f'30|0|@600 {good_at} 6000 {LIMITS}|{{"note":1}}'
    assert await ledger.redis.ttl(LIMITS) == -1


async def test_a_key_without_limits_is_not_counted(ledger: Ledger) -> None:
    """Nothing of it is in Redis, and its hold says nothing of limits."""
    await ledger.open("100")

    assert await ledger.hold("30") == ["OK", 2, 30, 70]
    assert (await ledger.settle("12"))[0] == "OK"
    assert await ledger.limits() == {}


async def test_a_key_without_limits_costs_redis_no_command_more(ledger: Ledger) -> None:
    """Each of these was there before there were limits."""
    await ledger.open("100")
    await ledger.hold("30", id=OTHER)
    await ledger.settle("12", id=OTHER)
    await ledger.redis.config_resetstat()

    await ledger.hold("30")
    await ledger.settle("12")

    stats = await ledger.redis.info("commandstats")
    asked = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
    ours = asked.keys() & {"evalsha", "config|resetstat", "info", "client|setinfo"}
    assert {name: calls for name, calls in asked.items() if name not in ours} == {
        "hmget": 4, "hget": 2, "get": 2, "time": 2, "hincrby": 3, "hset": 2, "zadd": 1,
        "xadd": 1, "hdel": 1, "zrem": 1, "set": 1,
    }  # fmt: skip


async def test_one_request_too_many_is_limited_and_changes_nothing(ledger: Ledger) -> None:
    """LIMITED says which limit, for how long, and what is left."""
    await ledger.open("100")
    await ledger.hold("1", requests="1")
    before = await ledger.everything()

    answer = await ledger.hold("1", id=OTHER, requests="1")

    assert answer[:3] == ["LIMITED", 2, "requests"]
    assert 59_000 < answer[3] <= 60_000
    assert answer[4] == 0
    assert await ledger.everything() == before


async def test_a_request_comes_back_with_time(ledger: Ledger) -> None:
    """Of 60 a minute one is there again after a second, and not a moment before."""
    await ledger.open("100")
    await ledger.stop_the_clock()
    for number in range(60):
        assert (await ledger.hold("1", id=f"{OTHER}{number}", requests="60"))[0] == "OK"
    assert await ledger.hold("1", requests="60") == [
        "LIMITED", 61, "requests", 1000, 0, 60_000, 0, 0,
    ]  # fmt: skip

    await ledger.later(999)
    assert (await ledger.hold("1", requests="60"))[:4] == ["LIMITED", 61, "requests", 1]
    await ledger.later(1)
    assert await ledger.hold("1", requests="60") == ["OK", 62, 1, 39, 0, 60_000, 0, 0]


async def test_tokens_that_were_not_used_come_back_at_the_settle(ledger: Ledger) -> None:
    """What the call used does not."""
    await ledger.open("100")
    await ledger.stop_the_clock()
    await ledger.hold("1", per_minute="1000", tokens="900")
    limited = await ledger.hold("1", id=OTHER, per_minute="1000", tokens="200")
    await ledger.settle("1", tokens="300")

    answer = await ledger.hold("1", id=OTHER, per_minute="1000", tokens="700")

    assert limited == ["LIMITED", 2, "tokens", 6000, 0, 0, 100, 54_000]
    assert answer == ["OK", 4, 1, 98, 0, 0, 0, 60_000]


async def test_tokens_that_time_has_made_good_do_not_come_back_again(ledger: Ledger) -> None:
    """After 27 of the 54 seconds for 900 tokens, half of them can; after 54 none."""
    await ledger.open("100")
    await ledger.stop_the_clock()
    await ledger.hold("1", per_minute="1000", tokens="900")
    await ledger.later(27_000)
    await ledger.hold("1", id=OTHER, per_minute="1000", tokens="500")

    await ledger.settle("1", tokens="0")

    assert (await ledger.hold("1", id=THIRD, per_minute="1000", tokens="501"))[0] == "LIMITED"
    assert (await ledger.hold("1", id=THIRD, per_minute="1000", tokens="500"))[0] == "OK"
    await ledger.later(60_000)
    await ledger.hold("1", id=HOLD + "9", per_minute="1000", tokens="1000")
    await ledger.settle("1", id=THIRD, tokens="0")
    assert (await ledger.hold("1", id=HOLD + "8", per_minute="1000", tokens="1"))[0] == "LIMITED"


async def test_tokens_taken_first_are_made_good_first(ledger: Ledger) -> None:
    """Half of 900 are made good after 27 seconds: of the 500, not of the 400 after them."""
    await ledger.open("100")
    await ledger.stop_the_clock()
    await ledger.hold("1", id=OTHER, per_minute="1000", tokens="500")
    await ledger.hold("1", per_minute="1000", tokens="400")
    await ledger.later(27_000)

    await ledger.settle("1", tokens="0")

    assert (await ledger.hold("1", id=THIRD, per_minute="1000", tokens="951"))[0] == "LIMITED"
    assert (await ledger.hold("1", id=THIRD, per_minute="1000", tokens="950"))[0] == "OK"


async def test_a_call_that_used_more_than_it_took_is_counted_in_full(ledger: Ledger) -> None:
    """The bucket is then below nothing for a while."""
    await ledger.open("100")
    await ledger.stop_the_clock()
    await ledger.hold("1", per_minute="1000", tokens="100")

    await ledger.settle("1", tokens="1500")

    answer = await ledger.hold("1", id=OTHER, per_minute="1000", tokens="0")
    assert answer == ["LIMITED", 3, "tokens", 30_000, 0, 0, 0, 90_000]


async def test_of_two_limits_the_longer_wait_is_told(ledger: Ledger) -> None:
    """Who comes again then is not refused for the other."""
    await ledger.open("100")
    await ledger.stop_the_clock()
    given = {"requests": "2", "per_minute": "100", "at_once": "2"}
    await ledger.hold("1", tokens="50", **given)
    await ledger.hold("1", id=OTHER, tokens="0", **given)

    refused = await ledger.hold("1", id=THIRD, tokens="1", **given)
    longer = await ledger.hold("1", id=THIRD, tokens="101", **given)

    assert refused[2:4] == ["requests", 30_000]
    assert longer[2:4] == ["tokens", 30_600]
    await ledger.later(60_000)
    assert (await ledger.hold("1", id=THIRD, tokens="1", **given))[2:4] == ["concurrent", 1000]


@pytest.mark.parametrize("end", ["settle", "release", "sweep"])
async def test_a_place_comes_back_however_the_call_ends(ledger: Ledger, end: str) -> None:
    """A sweep finds the key in the hold; it is told nothing of it."""
    await ledger.open("100")
    await ledger.hold("30", at_once="1", lease="1" if end == "sweep" else "60000")
    refused = await ledger.hold("30", id=OTHER, at_once="1")
    if end == "sweep":
        await ledger.until_overdue()

    modes = {"settle": "settle", "release": "settle", "sweep": "sweep"}
    outcomes = {"settle": "settled", "release": "released", "sweep": "orphaned"}
    ended = await ledger.settle("0", mode=modes[end], outcome=outcomes[end])

    assert refused == ["LIMITED", 2, "concurrent", 1000, 0, 0, 0, 0]
    assert ended[0] == "OK"
    limits = await ledger.limits()
    assert (limits["open"], limits["held"]) == ("0", "0")
    assert (await ledger.hold("30", id=OTHER, at_once="1"))[0] == "OK"
    assert [entry["row"] for entry in await ledger.outbox()] == [
        '{"note":1}' if end == "sweep" else '{"row":1}'
    ]


async def test_a_replay_is_answered_before_any_limit_and_takes_nothing(ledger: Ledger) -> None:
    """SAME while it holds, DONE once it is settled."""
    given = {"requests": "1", "per_minute": "10", "at_once": "1", "tokens": "10"}
    await ledger.open("100")
    await ledger.hold("30", **given)
    before = await ledger.everything()

    assert await ledger.hold("30", **given) == ["SAME", 2, 30, 70]
    assert await ledger.everything() == before
    await ledger.settle("10", tokens="10")
    before = await ledger.everything()
    assert await ledger.settle("10", tokens="0") == ["DONE", 3, "10 0 90 1 settled"]
    assert await ledger.hold("30", **given) == ["DONE", 3, "10 0 90 1 settled"]
    assert (await ledger.everything()).keys() == before.keys()
    assert (await ledger.limits())["open"] == "0"


async def test_a_renewal_keeps_what_the_hold_took(ledger: Ledger) -> None:
    """The place comes back after it as before."""
    await ledger.open("100")
    await ledger.hold("30", at_once="1")
    await ledger.renew("7")

    await ledger.settle("12")

    assert (await ledger.limits())["open"] == "0"


async def test_a_key_that_only_has_rates_is_forgotten_after_a_minute(ledger: Ledger) -> None:
    """Not while it has a call, and not before its buckets are full."""
    await ledger.open("100")
    await ledger.hold("1", requests="5")
    await ledger.hold("1", id=OTHER, requests="5")
    await ledger.settle("1")
    lasting = await ledger.redis.ttl(LIMITS)
    await ledger.settle("1", id=OTHER)

    assert lasting == -1
    assert 59_000 < await ledger.redis.pttl(LIMITS) <= 60_000
    await ledger.hold("1", id=THIRD, requests="5")
    assert await ledger.redis.ttl(LIMITS) == -1


async def test_limits_of_another_epoch_count_for_nothing(ledger: Ledger) -> None:
    """Its holds are gone, and nothing of it is taken for this one's."""
    await ledger.open("100")
    await ledger.hold("1", at_once="1")
    await ledger.redis.hset(LIMITS, mapping={"epoch": "0", "spent": "5", "before": "7"})

    assert (await ledger.hold("1", id=OTHER, at_once="1"))[0] == "OK"
    limits = await ledger.limits()
    assert (limits["epoch"], limits["open"]) == ("1", "1")
    assert limits.keys().isdisjoint({"spent", "before"})


async def test_a_place_of_a_hash_that_was_lost_is_not_given_back_twice(ledger: Ledger) -> None:
    """There are never fewer than no calls."""
    await ledger.open("100")
    await ledger.hold("30", at_once="2")
    await ledger.redis.delete(LIMITS)
    await ledger.settle("1")
    assert await ledger.limits() == {}

    await ledger.hold("30", id=OTHER, at_once="2")

    assert (await ledger.limits())["open"] == "1"


# Refusals.


@pytest.mark.parametrize(
    "bad", ["0", "-1", "-0", "01", "1.5", "1e3", " 1", "NaN", "1000000001", "9223372036854775808"]
)
async def test_a_limit_that_is_no_plain_number_is_refused(ledger: Ledger, bad: str) -> None:
    """BAD in every place, and nothing changes."""
    await ledger.open("100")
    before = await ledger.everything()

    assert await ledger.hold("1", requests=bad) == ["BAD", 1]
    assert await ledger.hold("1", per_minute=bad) == ["BAD", 1]
    if len(bad) != 10:
        assert await ledger.hold("1", at_once=bad) == ["BAD", 1]
    if bad not in ("0", "1000000001"):
        assert await ledger.hold("1", cap=bad) == ["BAD", 1]
        assert await ledger.count(bad, "0") == ["BAD", 1]
        assert await ledger.count("0", bad) == ["BAD", 1]
    if bad != "0":
        assert await ledger.hold("1", at_once="1", tokens=bad) == ["BAD", 1]
        assert await ledger.settle("1", tokens=bad) == ["BAD", 1]
    assert await ledger.hold("1", at_once="1", tokens="") == ["BAD", 1]
    assert await ledger.everything() == before


async def test_a_note_that_looks_like_a_place_taken_is_refused(ledger: Ledger) -> None:
    """Whoever writes notes cannot give back the places of a key."""
    await ledger.open("100")
    before = await ledger.everything()

    assert await ledger.hold("1", note=f"@0 0 0 {LIMITS}|x") == ["BAD", 1]
    assert await ledger.settle("1", key="yes") == ["BAD", 1]
    assert await ledger.count(key="") == ["BAD", 1]
    assert await ledger.count("5", "") == ["BAD", 1]
    assert await ledger.everything() == before
