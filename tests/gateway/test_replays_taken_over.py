"""Idempotency-Key: one that was taken over from a call that seemed dead is charged once."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from gateway.dev.stub_gates import Turnstile
from metering.money import Credits
from storage.ids import new_id
from storage.replays import Claim, Name
from tests.gateway.background.a_hold import a_hold, settlement_of
from tests.gateway.refusal import refusal_in
from tests.gateway.repeated import NOT_KEPT, asks, same
from tests.gateway.test_replays_settled import sweep_all
from tests.house import Acme, House
from tests.laws.laws import check_laws

pytestmark = pytest.mark.anyio


class Sleeper:
    """A call with a key that was swept while it ran, and that goes on when it is woken."""

    def __init__(self, house: House, acme: Acme) -> None:
        self._house = house
        self._acme = acme
        self._gate = Turnstile()

    async def falls_asleep(self, **fields: Any) -> None:
        self._house.openai.holds_replies(self._gate)
        self._calling = asyncio.create_task(asks(self._acme, **fields))
        await self._house.openai.received(1)
        await sweep_all(self._house, self._acme)
        self._house.openai.resets()

    async def wakes(self) -> httpx2.Response:
        self._gate.opens()
        reply = await self._calling
        await self._house.quiet()
        return reply


async def forget_answers(house: House) -> None:
    """As ten minutes after SQL has had them."""
    while await house.parts.loops.recorder.record_once():
        pass
    redis: Any = house.parts.stores.redis
    async for key in redis.scan_iter("*:answer:*"):
        await redis.delete(key)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("answer_is_there", [True, False], ids=["soon", "late"])
async def test_who_wakes_up_too_late_is_not_charged_for(
    house: House, stream: bool, answer_is_there: bool
):
    """Two calls were made and billed to us; its owner pays one of them, and both have a row."""
    acme = await house.business()
    sleeper = Sleeper(house, acme)
    await sleeper.falls_asleep(stream=stream)
    second = await asks(acme, stream=stream)
    if not answer_is_there:
        await forget_answers(house)

    first = await sleeper.wakes()

    orphaned, paid, corrected = await acme.transactions()
    bills = {bill.transaction: house.price_of(bill) for bill in house.openai.billed}
    assert (first.status_code, second.status_code) == (200, 200)
    assert (orphaned.outcome, orphaned.credits_used) == ("orphaned", Credits(0))
    assert paid.credits_used == bills[paid.id].credits_used
    assert (corrected.outcome, corrected.adjusts) == ("adjusted", orphaned.id)
    assert corrected.credits_used == Credits(0)
    assert corrected.shortfall == bills[orphaned.id].credits_used
    assert await acme.available() == acme.topped_up - paid.credits_used
    assert same(await asks(acme, stream=stream), second)
    await check_laws(house)


async def test_who_wakes_up_in_time_is_charged_and_keeps_its_key(house: House):
    """Nobody has taken it: a repeated call is told what the first was charged."""
    acme = await house.business()
    sleeper = Sleeper(house, acme)
    await sleeper.falls_asleep()

    await sleeper.wakes()

    _, corrected = await acme.transactions()
    assert refusal_in(await asks(acme)) == NOT_KEPT
    assert corrected.credits_used > Credits(0)
    assert corrected.shortfall == Credits(0)


@pytest.mark.parametrize("taken_over", [True, False])
async def test_a_call_that_nobody_knows_any_more_is_charged_unless_its_key_is_anothers(
    house: House, taken_over: bool
):
    """Neither a hold nor an answer nor a row of it is left: it is adopted."""
    acme = await house.business()
    name = Name("0" * 64, "1" * 64)
    lost = settlement_of(await a_hold(acme, "4.00"), "1.50")
    lost.id, taken_by = new_id(), new_id()
    lost.claim = Claim(name.key, lost.id)
    store = house.parts.doors._proxy._replays._store
    by = taken_by if taken_over else lost.id
    assert await store.claim(business=acme.id, name=name, id=by) is None

    house.parts.loops.settler.settle(lost)

    (row,) = await acme.transactions()
    price, nothing = Credits.parse("1.50"), Credits(0)
    assert (row.id, row.outcome) == (lost.id, "settled")
    paid = (nothing, price) if taken_over else (price, nothing)
    assert (row.credits_used, row.shortfall) == paid
