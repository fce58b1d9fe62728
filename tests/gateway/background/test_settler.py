"""The settler: every settle arrives, once, whatever happened to the hold meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from gateway.background import settler as module
from metering.money import Credits
from storage import redis_keys
from storage.balances import Balances
from storage.errors import LedgerUnavailable
from tests.gateway.background.a_hold import a_hold, lease_ended, settlement_of
from tests.house import House

pytestmark = pytest.mark.anyio


async def swept(acme) -> None:
    """The sweeper finds the hold first."""
    await lease_ended(acme)
    assert await acme.house.parts.loops.sweeper.sweep_once() == 1


async def test_a_settle_is_asked_for_until_it_is_answered(house: House, monkeypatch):
    """By the same id, so that asking three times charges once."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00")
    monkeypatch.setattr(module, "ASK_AGAIN_S", 0.0)
    ask = Balances.settle
    asked: list[str] = []

    async def lost(balances: Balances, **given: object) -> object:
        settled = await ask(balances, **given)  # type: ignore[arg-type]
        asked.append(str(given["id"]))
        if len(asked) < 3:
            raise LedgerUnavailable("the answer was lost", reason="in_doubt")
        return settled

    monkeypatch.setattr(Balances, "settle", lost)
    house.parts.loops.settler.settle(settlement_of(hold, "1.50"))
    (row,) = await acme.transactions()

    assert asked == [hold.id] * 3
    assert (row.credits_used, row.outcome) == (Credits.parse("1.50"), "settled")
    assert await acme.available() == Credits.parse("8.50")


async def test_the_same_settle_twice_charges_once(house: House):
    """Two tasks, one id, one row."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00")

    for _ in range(2):
        house.parts.loops.settler.settle(settlement_of(hold, "1.50"))

    assert len(await acme.transactions()) == 1
    assert await acme.available() == Credits.parse("8.50")


async def test_more_than_was_held_is_charged_as_far_as_it_goes(house: House, caplog):
    """The rest is our shortfall, in the row and in the log; never below zero."""
    acme = await house.business("5.00")
    hold = await a_hold(acme, "4.00")

    house.parts.loops.settler.settle(settlement_of(hold, "7.00"))

    (row,) = await acme.transactions()
    assert (row.credits_used, row.shortfall) == (Credits.parse("5.00"), Credits.parse("2.00"))
    assert await acme.available() == Credits(0)
    assert "shortfall" in caplog.text


async def test_a_hold_that_was_swept_is_put_right(house: House):
    """The orphaned row stands; a row that names it adds what the call really cost."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00", lease_s=0.001)
    await swept(acme)

    house.parts.loops.settler.settle(settlement_of(hold, "1.50"))

    orphaned, adjusted = await acme.transactions()
    assert (orphaned.id, orphaned.outcome) == (hold.id, "orphaned")
    assert (adjusted.outcome, adjusted.adjusts) == ("adjusted", hold.id)
    assert orphaned.credits_used + adjusted.credits_used == Credits.parse("1.50")
    assert await acme.available() == Credits.parse("8.50")


async def test_a_hold_that_was_swept_long_ago_is_put_right_once(house: House):
    """When Redis has forgotten its answer, SQL knows; asking again changes nothing."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00", lease_s=0.001)
    await swept(acme)
    await house.quiet()
    partition = redis_keys.partition_of(acme.id)
    await house.parts.stores.redis.delete(redis_keys.answer(partition, hold.id))

    for _ in range(2):
        house.parts.loops.settler.settle(settlement_of(hold, "1.50"))
        await house.quiet()

    assert [row.outcome for row in await acme.transactions()] == ["orphaned", "adjusted"]
    assert await acme.available() == Credits.parse("8.50")


async def test_a_call_whose_hold_is_unknown_is_charged_all_the_same(house: House):
    """OpenAI billed it; the row is adopted."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00")
    await house.parts.ledger.balances.settle(
        business=acme.id, id=hold.id, amount=Credits(0), outcome="released", row="{}"
    )
    other = settlement_of(hold, "1.50")
    other.id = "0198a1b2-0000-7000-8000-000000000001"

    house.parts.loops.settler.settle(other)

    rows = {row.id: row for row in await acme.transactions()}
    assert rows[other.id].credits_used == Credits.parse("1.50")
    assert await acme.available() == Credits.parse("8.50")


async def test_a_hold_that_was_never_made_leaves_no_row(house: House):
    """The caller was told that Redis is in doubt; it was in fact never asked."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00")
    never = settlement_of(hold, "0", only_if_held=True)
    never.id = "0198a1b2-0000-7000-8000-000000000002"

    house.parts.loops.settler.settle(never)

    assert await acme.transactions() == []
    assert await acme.held() == hold.granted


async def test_a_settle_is_kept_until_sql_has_it(house: House):
    """A Redis that loses it can be told again."""
    acme = await house.business("10.00")
    settler = house.parts.loops.settler
    hold = await a_hold(acme, "4.00")

    settler.settle(settlement_of(hold, "1.50"))
    kept = settler.kept
    await house.quiet()
    await settler.forget_recorded()

    assert kept == 1
    assert (settler.kept, settler.backlog_bytes) == (0, 0)


async def test_counting_that_fails_leaves_the_hold_to_the_sweeper(house: House, caplog):
    """A mistake of ours is told loudly and harms no other settle."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00")
    settler = house.parts.loops.settler

    async def broken() -> object:
        raise RuntimeError("a mistake")

    settler.settle_when(broken())  # type: ignore[arg-type]
    while settler.unanswered:
        await asyncio.sleep(0)
    settler.settle(settlement_of(hold, "1.50"))

    assert "settle_failed" in caplog.text
    assert len(await acme.transactions()) == 1


async def test_the_end_waits_for_what_is_not_answered(house: House, monkeypatch, caplog):
    """And says what it had to leave, which the sweeper of the next start finds."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00")
    settler = house.parts.loops.settler

    async def away(balances: Balances, **given: object) -> None:
        raise LedgerUnavailable("Redis is away", reason="in_doubt")

    with monkeypatch.context() as patched:
        patched.setattr(Balances, "settle", away)
        settler.settle(settlement_of(hold, "1.50"))
        await settler.close(within_s=0.01)
        while settler.unanswered:
            await asyncio.sleep(0)

    assert "settles_left_to_the_sweeper" in caplog.text
    assert await acme.held() == hold.granted
