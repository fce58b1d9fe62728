"""What a key may spend in all: hold, settle and count, on each engine."""

from __future__ import annotations

import pytest

from tests.laws.scripted import HOLD, KEY, LIMITS, NOTE, OTHER, THIRD, Ledger

pytestmark = pytest.mark.anyio


async def test_a_cap_is_not_served_before_it_is_counted(ledger: Ledger) -> None:
    """NOT_COUNTED, whatever else is known of the key; nothing changes."""
    await ledger.open("100")
    await ledger.hold("1", id=OTHER, at_once="9")
    before = await ledger.everything()

    assert await ledger.hold("1", cap="50") == ["NOT_COUNTED", 2]
    assert await ledger.everything() == before
    assert await ledger.count() == ["OK", 3, 0]
    assert await ledger.hold("1", cap="50") == ["NOT_COUNTED", 3]


async def test_spent_and_held_and_asked_stay_within_the_cap(ledger: Ledger) -> None:
    """The last call is fitted to what the cap leaves; then CAPPED says what is spent and held."""
    await ledger.open("1000")
    await ledger.count()
    assert await ledger.count("40", "0") == ["OK", 3, 0]
    await ledger.hold("30", cap="100")
    await ledger.settle("25")
    await ledger.hold("20", id=OTHER, cap="100")
    before = await ledger.everything()

    assert await ledger.hold("30", "16", id=THIRD, cap="100") == ["CAPPED", 6, 65, 20]
    assert await ledger.everything() == before
    assert (await ledger.hold("30", "15", id=THIRD, cap="100"))[:3] == ["OK", 7, 15]


async def test_no_settle_takes_a_key_past_its_cap(ledger: Ledger) -> None:
    """What OpenAI billed beyond it is the shortfall, as with a balance."""
    await ledger.open("1000")
    await ledger.count()
    await ledger.count("0", "0")
    await ledger.hold("30", cap="50")
    await ledger.hold("15", id=OTHER, cap="50")

    assert await ledger.settle("90") == ["OK", 6, 35, 55, 950, 1, "settled"]
    assert (await ledger.limits())["spent"] == "35"
    assert await ledger.settle("0", id=THIRD, mode="adopt", key="yes") == [
        "OK", 7, 0, 0, 950, 2, "settled",
    ]  # fmt: skip
    assert (await ledger.settle("1", id=HOLD + "9", mode="adopt", key="yes"))[2:4] == [0, 1]


async def test_what_is_settled_without_a_hold_counts_towards_the_cap(ledger: Ledger) -> None:
    """Signed: what is corrected downwards may be spent again."""
    await ledger.open("1000")
    await ledger.count()
    await ledger.count("10", "0")
    await ledger.hold("1", id=THIRD, cap="50")
    await ledger.settle("1", id=THIRD)

    await ledger.settle("12", mode="adopt", key="yes")
    await ledger.settle("-20", id=OTHER, mode="adopt", outcome="adjusted", key="yes")

    assert (await ledger.limits())["spent"] == "-7"
    assert (await ledger.limits())["open"] == "0"
    assert (await ledger.hold("48", id=HOLD + "9", cap="50"))[0] == "CAPPED"
    assert (await ledger.hold("47", id=HOLD + "9", cap="50"))[0] == "OK"


async def test_counting_begins_with_the_calls_that_run(ledger: Ledger) -> None:
    """Also those that were made when the key had no limits; not those of another key."""
    await ledger.open("1000")
    await ledger.hold("30", note=NOTE)
    await ledger.hold("40", id=OTHER, at_once="9")
    quoted = NOTE.replace(KEY, "x").replace("null", f'"\\"key_id\\":\\"{KEY}\\""')
    await ledger.hold("50", id=THIRD, note=quoted)

    assert await ledger.count() == ["OK", 5, 0]

    limits = await ledger.limits()
    assert (limits["open"], limits["held"], limits["spent"]) == ("2", "70", "0")
    assert await ledger.count("0", "0") == ["OK", 6, 0]
    await ledger.settle("3")
    await ledger.settle("4", id=OTHER)
    await ledger.settle("5", id=THIRD)
    limits = await ledger.limits()
    assert (limits["open"], limits["held"], limits["spent"]) == ("0", "0", "7")
    assert await ledger.redis.ttl(LIMITS) == -1


async def test_a_sum_is_taken_down_once_and_only_for_its_beginning(ledger: Ledger) -> None:
    """Two gateways count at once; a hash that is lost is counted anew."""
    await ledger.open("1000")
    await ledger.hold("30")
    await ledger.settle("3")
    assert await ledger.count("5", "1") == ["GONE", 3]
    assert await ledger.count() == ["OK", 4, 1]
    assert await ledger.count() == ["OK", 4, 1]
    before = await ledger.everything()

    assert await ledger.count("5", "0") == ["GONE", 4]
    assert await ledger.everything() == before
    assert await ledger.count("5", "1") == ["OK", 5, 1]
    before = await ledger.everything()
    assert await ledger.count("6", "1") == ["COUNTED", 5]
    assert await ledger.count() == ["COUNTED", 5]
    assert await ledger.everything() == before
    await ledger.redis.delete(LIMITS)
    assert await ledger.hold("1", id=OTHER, cap="50") == ["NOT_COUNTED", 5]


async def test_a_key_with_rates_is_kept_once_it_is_counted(ledger: Ledger) -> None:
    """Its minute would have ended, and what it spent with it."""
    await ledger.open("100")
    await ledger.hold("1", requests="5")
    await ledger.settle("1")
    ending = await ledger.redis.ttl(LIMITS)

    await ledger.count()

    assert ending > 0
    assert await ledger.redis.ttl(LIMITS) == -1


async def test_a_count_that_cannot_be_read_begins_anew(ledger: Ledger) -> None:
    """Nothing of the old one is believed."""
    await ledger.open("100")
    await ledger.count()
    await ledger.count("40", "0")
    await ledger.redis.hset(LIMITS, "spent", "1e3")

    assert await ledger.hold("1", cap="50") == ["NOT_COUNTED", 3]
    assert await ledger.count() == ["OK", 4, 0]
    assert await ledger.hold("1", cap="50") == ["NOT_COUNTED", 4]
    await ledger.count("45", "0")
    assert (await ledger.hold("6", cap="50"))[0] == "CAPPED"


async def test_counting_is_fenced_as_every_change_is(ledger: Ledger) -> None:
    """Another epoch, no account, a frozen partition."""
    assert await ledger.count() == ["NO_ACCOUNT", 0]
    await ledger.open("100")
    assert await ledger.count(epoch="2") == ["STALE_EPOCH", 1, "1"]
    await ledger.freeze("a reason")
    assert await ledger.count() == ["FROZEN", 1, "a reason"]
    assert await ledger.limits() == {}


async def test_a_refusal_for_want_of_credits_takes_nothing_of_the_limits(ledger: Ledger) -> None:
    """INSUFFICIENT comes after the limits, and before the cap."""
    await ledger.open("100")
    await ledger.count()
    await ledger.count("0", "0")
    before = await ledger.everything()

    assert (await ledger.hold("200", requests="1", cap="50"))[0] == "INSUFFICIENT"
    assert (await ledger.hold("60", requests="1", cap="50"))[0] == "CAPPED"
    assert await ledger.everything() == before
