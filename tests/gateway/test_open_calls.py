"""Open calls: their leases are renewed and their cost is noted while they run."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from gateway.dev.stub_gates import Turnstile
from gateway.open_calls import OpenCall, OpenCalls
from metering.money import Credits
from storage import redis_keys
from storage.errors import LedgerUnavailable
from tests.gateway.background.a_hold import a_hold, lease_ended
from tests.house import MODEL, Acme, House
from tests.one_house import charged_as_billed, set_up

pytestmark = pytest.mark.anyio


async def noted(acme: Acme) -> Credits:
    """What the one hold of a business says that its call has cost so far."""
    key = redis_keys.holds(redis_keys.partition_of(acme.id), acme.id)
    redis: Any = acme.house.parts.stores.redis
    (hold,) = await redis.hvals(key)
    return Credits(int(hold.split("|")[1]))


async def test_a_renewed_call_is_not_swept(house: House):
    """However long it runs; its cost is noted with each renewal."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00", lease_s=0.001)
    await lease_ended(acme)
    calls = OpenCalls(house.parts.ledger.balances, lease_s=60.0)
    calls.add(OpenCall(acme.id, hold.id, lambda: Credits.parse("1.25")))

    await calls.renew_all()

    assert await house.parts.loops.sweeper.sweep_once() == 0
    assert await noted(acme) == Credits.parse("1.25")


async def test_a_call_that_has_ended_is_not_renewed(house: House):
    """`remove` comes before its settle; twice is once."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00", lease_s=0.001)
    await lease_ended(acme)
    calls = OpenCalls(house.parts.ledger.balances, lease_s=60.0)
    calls.add(OpenCall(acme.id, hold.id, lambda: Credits(0)))
    assert len(calls) == 1

    calls.remove(hold.id)
    calls.remove(hold.id)
    await calls.renew_all()

    assert len(calls) == 0
    assert await house.parts.loops.sweeper.sweep_once() == 1


async def test_a_call_whose_hold_is_gone_is_told_to_the_operator(house: House, caplog):
    """It goes on, and its settle puts things right."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00", lease_s=0.001)
    await lease_ended(acme)
    await house.parts.loops.sweeper.sweep_once()
    calls = OpenCalls(house.parts.ledger.balances, lease_s=60.0)
    calls.add(OpenCall(acme.id, hold.id, lambda: Credits(0)))

    await calls.renew_all()

    (record,) = [r for r in caplog.records if r.message == "hold_was_swept_while_running"]
    assert (record.levelno, record.id) == (logging.ERROR, hold.id)


async def test_a_mistake_in_one_call_ends_no_others_lease(house: House, caplog):
    """Its own lease is renewed too; only its checkpoint stays where it was."""
    acme = await house.business("10.00")
    wrong = await a_hold(acme, "4.00", lease_s=0.001)
    other = await a_hold(acme, "4.00", lease_s=0.001)
    await lease_ended(acme)
    calls = OpenCalls(house.parts.ledger.balances, lease_s=60.0)
    calls.add(OpenCall(acme.id, wrong.id, lambda: Credits(1 // 0)))
    calls.add(OpenCall(acme.id, other.id, lambda: Credits(1)))

    await calls.renew_all()

    assert await house.parts.loops.sweeper.sweep_once() == 0
    assert [record.id for record in caplog.records] == [wrong.id]


@pytest.mark.parametrize(
    ("error", "said"),
    [(LedgerUnavailable("away"), "leases_not_renewed"), (KeyError(), "lease_renewal_failed")],
)
async def test_a_renewal_that_fails_is_told_and_keeps_no_other(
    house: House, caplog, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
):
    """A frozen partition is one of sixteen."""
    acme = await house.business("10.00")
    held = await a_hold(acme, "4.00", lease_s=0.001)
    await lease_ended(acme)
    balances = house.parts.ledger.balances
    renew = balances.renew

    async def renew_all_but_one(**call: Any) -> bool:
        if call["id"] == "another":
            raise error
        return await renew(**call)

    monkeypatch.setattr(balances, "renew", renew_all_but_one)
    calls = OpenCalls(balances, lease_s=60.0)
    calls.add(OpenCall(acme.id, "another", lambda: Credits(0)))
    calls.add(OpenCall(acme.id, held.id, lambda: Credits(0)))

    await calls.renew_all()

    assert await house.parts.loops.sweeper.sweep_once() == 0
    assert [record.message for record in caplog.records] == [said]


@set_up(holds__lease_s="1")
async def test_a_stream_notes_what_it_has_cost_while_it_runs(house: House):
    """Nothing before its first byte; then about what was said, never above the hold."""
    acme = await house.business()
    house.openai.streams(*["word " * 50] * 5)
    turnstile = Turnstile()
    house.openai.waits_between_chunks(turnstile)
    calls = house.parts.loops.open_calls

    async with house.client.stream(
        "POST",
        "/v1/chat/completions",
        json={
            "model": MODEL,
            "stream": True,
            "messages": [{"role": "user", "content": "x"}],
        },
        headers=acme.headers,
    ) as reply:
        lines = reply.aiter_lines()
        held = await acme.held()
        costs = []
        for _ in range(4):
            turnstile.lets_through()
            async for line in lines:
                if "word" in line:
                    break
            await calls.renew_all()
            costs.append(await noted(acme))
        turnstile.opens()
        async for _ in lines:
            pass

    assert Credits(0) < costs[0] < costs[1] < costs[2] < costs[3] <= held
    await charged_as_billed(acme)
    assert len(calls) == 0
