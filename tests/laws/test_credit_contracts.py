"""What the scripts in storage/lua answer when credits come, go, or are opened anew."""

from __future__ import annotations

import pytest

from tests.laws.scripted import FAR, META, OTHER, Ledger

pytestmark = pytest.mark.anyio


async def test_credit_events_are_applied_once_and_in_order(ledger: Ledger) -> None:
    """APPLIED for an old one, GAP for one too far ahead: both change nothing."""
    await ledger.open("100")

    assert await ledger.credit("1", "add", "30") == ["OK", 2, 130]
    before = await ledger.everything()
    assert await ledger.credit("1", "add", "30") == ["APPLIED", 2, 1]
    assert await ledger.credit("3", "add", "30") == ["GAP", 2, 1]
    assert await ledger.everything() == before
    assert (await ledger.account())["expires_at_ms"] == FAR


async def test_taking_back_more_than_is_available_leaves_the_rest_owed(ledger: Ledger) -> None:
    """What is held stays for its call; what is owed blocks new ones and is paid first."""
    await ledger.open("100")
    await ledger.hold("30")

    assert await ledger.credit("1", "take", "90") == ["OK", 3, 30]
    assert await ledger.hold("1", id=OTHER) == ["OWED", 3, 20]
    assert await ledger.settle("25") == ["OK", 4, 25, 0, 0, 2, "settled"]
    assert (await ledger.account())["owed"] == "15"
    assert await ledger.credit("2", "add", "40") == ["OK", 5, 25]

    entries = await ledger.outbox()
    assert [(e["kind"], e["seq"]) for e in entries] == [
        ("taken_back", "1"), ("transaction", "2"), ("taken_back", "3"), ("taken_back", "4"),
    ]  # fmt: skip
    money = [(e["amount"], e["owed_delta"]) for e in entries if e["kind"] == "taken_back"]
    assert money == [("70", "20"), ("5", "-5"), ("15", "-15")]
    assert len({entry["id"] for entry in entries}) == 4


async def test_settings_travel_as_events_of_amount_zero(ledger: Ledger) -> None:
    """Suspension and thresholds reach Redis in the order in which SQL wrote them."""
    await ledger.open("100")

    assert await ledger.credit("1", "configure", "0", status="suspended", low_at="9") == [
        "OK",
        2,
        100,
    ]
    assert await ledger.hold("1") == ["SUSPENDED", 2]
    assert (await ledger.account())["low_at"] == "9"


async def test_an_account_is_opened_once_in_an_epoch(ledger: Ledger) -> None:
    """EXISTS changes nothing; an account of a lower epoch is replaced, its holds too."""
    await ledger.open("100")
    await ledger.hold("30")
    before = await ledger.everything()

    assert await ledger.open("500") == ["EXISTS", 2]
    assert await ledger.everything() == before

    await ledger.redis.hset(META, "epoch", "2")
    assert await ledger.hold("1", id=OTHER, epoch="2") == ["NO_ACCOUNT", 2]
    assert await ledger.open("70", epoch="2") == ["OK", 3]
    assert (await ledger.account())["held"] == "0"


async def test_the_largest_amount_is_kept_to_the_last_micro_credit(ledger: Ledger) -> None:
    """10^15 − 1 is written without an exponent."""
    await ledger.open("999999999999998")
    await ledger.credit("1", "add", "1")
    await ledger.hold("999999999999999")
    await ledger.settle("1")

    account = await ledger.account()
    assert (account["total"], account["held"]) == ("999999999999998", "0")
