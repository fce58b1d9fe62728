"""What audit.lua answers of an account, sound or not; on each engine."""

from __future__ import annotations

import pytest

from tests.laws.scripted import ACCOUNT, HOLD, HOLDS, META, OTHER, Ledger

pytestmark = pytest.mark.anyio


async def test_a_sound_account_is_told_and_left_alone(ledger: Ledger) -> None:
    """Total, held, owed, seq, credit_seq, open holds; nothing changes."""
    await ledger.open("100", owed="0", seq="4", credit_seq="2")
    await ledger.hold("30")
    await ledger.hold("20", id=OTHER)
    await ledger.renew("7", id=OTHER)
    before = await ledger.everything()

    assert await ledger.audit() == ["OK", 4, 100, 50, 0, 4, 2, 2]
    assert await ledger.everything() == before


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("held", "29", "29 micro-credits are held, and its open holds add up to 30"),
        ("held", "31", "31 micro-credits are held, and its open holds add up to 30"),
        ("held", "101", "a field of it is not what a script writes"),
        ("total", "29", "a field of it is not what a script writes"),
        ("total", "-1", "a field of it is not what a script writes"),
        ("owed", "-1", "a field of it is not what a script writes"),
        ("seq", "", "a field of it is not what a script writes"),
    ],
)
async def test_an_account_of_another_shape_is_frozen(
    ledger: Ledger, field: str, value: str, why: str
) -> None:
    """L1 is broken: nothing is held or settled there until somebody has looked."""
    await ledger.open("100")
    await ledger.hold("30")
    await ledger.redis.hset(ACCOUNT, field, value)

    word, counter, said = await ledger.audit()

    assert (word, counter) == ("WRONG", 3)
    assert said.startswith(why)
    assert (await ledger.account())["frozen"] == said
    assert await ledger.redis.hget(META, "counter") == "3"
    assert (await ledger.hold("1", id=OTHER))[0] in ("ACCOUNT_FROZEN", "CORRUPT")
    before = await ledger.everything()
    assert await ledger.audit() == ["ACCOUNT_FROZEN", 3, said]
    assert await ledger.everything() == before


@pytest.mark.parametrize("hold", ["", "30", "x|0|{}", "-30|0|{}", "30.0|0|{}", "030|0|{}"])
async def test_a_hold_no_script_can_have_written_freezes_its_account(
    ledger: Ledger, hold: str
) -> None:
    """The reason names the hold."""
    await ledger.open("100")
    await ledger.hold("30")
    await ledger.redis.hset(HOLDS, HOLD, hold)

    assert (await ledger.audit())[2] == f"hold {HOLD} is not what a script writes"


async def test_a_hold_that_was_lost_is_found(ledger: Ledger) -> None:
    """What it held would never return."""
    await ledger.open("100")
    await ledger.hold("30")
    await ledger.redis.delete(HOLDS)

    assert (await ledger.audit())[0] == "WRONG"


async def test_audit_refuses_what_every_script_refuses(ledger: Ledger) -> None:
    """Another epoch, no account, a frozen partition; nothing changes."""
    assert await ledger.audit() == ["NO_ACCOUNT", 0]
    assert await ledger.audit(business="") == ["BAD", 0]
    await ledger.open("100")
    assert await ledger.audit(epoch="2") == ["STALE_EPOCH", 1, "1"]
    await ledger.redis.hset(ACCOUNT, "epoch", "7")
    assert await ledger.audit() == ["NO_ACCOUNT", 1]
    await ledger.freeze("all of it")
    assert await ledger.audit() == ["FROZEN", 1, "all of it"]
