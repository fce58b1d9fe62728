"""When the scripts in storage/lua mark an alert (law L9); on each engine."""

from __future__ import annotations

import pytest

from tests.laws.scripted import HOLD, OTHER, Ledger

pytestmark = pytest.mark.anyio


async def spends(ledger: Ledger, amount: str, id: str) -> None:
    await ledger.hold(amount, id=id)
    await ledger.settle(amount, id=id)


async def told(ledger: Ledger) -> list[str]:
    return [entry["alerts"] for entry in await ledger.outbox()]


async def test_a_lowered_threshold_arms_again(ledger: Ledger) -> None:
    """The total lies above it, so falling below it is a crossing of its own."""
    await ledger.open("100", low_at="50")
    await spends(ledger, "60", HOLD)
    await ledger.credit("1", "configure", "0", low_at="20")
    await spends(ledger, "10", OTHER)
    await spends(ledger, "11", HOLD + "1")

    assert await told(ledger) == ["low_balance", "", "low_balance"]
    assert [entry["low_at"] for entry in await ledger.outbox()] == ["50", "20", "20"]


async def test_a_raised_threshold_is_told_with_the_next_charge(ledger: Ledger) -> None:
    """And once; settings that come again do not tell it again."""
    await ledger.open("100", low_at="50")
    await ledger.credit("1", "configure", "0", low_at="200")
    await spends(ledger, "1", HOLD)
    await ledger.credit("2", "configure", "0", low_at="200")
    await spends(ledger, "1", OTHER)

    assert await told(ledger) == ["low_balance", ""]


async def test_a_threshold_that_is_reached_exactly_is_not_crossed(ledger: Ledger) -> None:
    """Below it the owner is warned, and at it the alert is armed."""
    await ledger.open("100", low_at="50")
    await spends(ledger, "50", HOLD)
    await spends(ledger, "1", OTHER)
    await ledger.credit("1", "configure", "0", low_at="49")
    await spends(ledger, "1", HOLD + "1")

    assert await told(ledger) == ["", "low_balance", "low_balance"]


async def test_what_is_taken_back_crosses_thresholds_too(ledger: Ledger) -> None:
    """The owner is told at once, and not with a call that may never come."""
    await ledger.open("100", low_at="50")

    await ledger.credit("1", "take", "60", low_at="50")
    await ledger.credit("2", "take", "60", low_at="50")

    assert await told(ledger) == ["low_balance", "depleted"]


async def test_a_take_is_judged_by_the_threshold_that_it_brings(ledger: Ledger) -> None:
    """Each event says the settings that hold with it."""
    await ledger.open("100", low_at="50")

    await ledger.credit("1", "take", "60", low_at="30")

    (entry,) = await ledger.outbox()
    assert (entry["alerts"], entry["low_at"]) == ("", "30")


async def test_what_pays_a_debt_crosses_thresholds_too(ledger: Ledger) -> None:
    """What returned from a call went to what is owed."""
    await ledger.open("100", low_at="50")
    await ledger.hold("90")
    await ledger.credit("1", "take", "60", low_at="50")
    await ledger.settle("10")

    entries = await ledger.outbox()
    assert [entry["kind"] for entry in entries] == ["taken_back", "transaction", "taken_back"]
    assert [entry["alerts"] for entry in entries] == ["", "", "low_balance"]
    assert entries[-1]["balance"] == "30"


async def test_credits_that_only_pay_a_debt_arm_nothing(ledger: Ledger) -> None:
    """The total was not lifted."""
    await ledger.open("40", low_at="50")
    await ledger.credit("1", "take", "100", low_at="50")
    await ledger.credit("2", "add", "60", low_at="50")
    await ledger.credit("3", "take", "1", low_at="50")

    assert await told(ledger) == ["low_balance,depleted", "", ""]
