"""Idempotency-Key: what the call is charged, whatever happens while its reply is being kept."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from gateway.dev.stub_gates import Turnstile
from gateway.metered_call import MeteredCall
from metering.money import Credits
from storage import redis_keys
from storage.errors import LedgerUnavailable
from tests.gateway.refusal import refusal_in
from tests.gateway.repeated import NOT_KEPT, asks, same
from tests.house import Acme, House
from tests.laws.laws import check_laws
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio


async def sweep_all(house: House, acme: Acme) -> None:
    """End every lease of a business, as if its gateway had been silent, and sweep."""
    deadlines = redis_keys.deadlines(redis_keys.partition_of(acme.id))
    redis: Any = house.parts.stores.redis
    for member in await redis.zrange(deadlines, 0, -1):
        await redis.zadd(deadlines, {member: 1})
    assert await house.parts.loops.sweeper.sweep_once() == 1


@pytest.mark.parametrize("says_usage", [True, False], ids=["reported", "counted"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_is_settled_as_it_ended(house: House, monkeypatch, stream, says_usage):
    """The caller is given up while the reply is being kept; OpenAI had answered all of it."""
    acme = await house.business()
    if not says_usage:
        house.openai.without_usage()
    store = house.parts.doors._proxy._replays._store

    async def too_long(**_: Any) -> bool:
        raise TimeoutError

    monkeypatch.setattr(store, "keep", too_long)
    with suppress(httpx2.HTTPError):
        await asks(acme, stream=stream)

    (row,) = await acme.transactions()
    assert (row.success, row.http_status, row.outcome) == (True, 200, "settled")
    if says_usage:
        await charged_as_billed(acme)
    await check_laws(house)


def dies_before_it_settles(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on no settle reaches Redis; whoever sweeps is another gateway."""

    def never(settlement: Any) -> None:
        settlement.close()

    monkeypatch.setattr(house.parts.loops.settler, "settle_when", never)


@pytest.mark.parametrize("key", ["order-17", None])
async def test_a_call_that_is_counted_is_what_it_was_when_it_ended(
    house: House, monkeypatch, access_log, key
):
    """Counting takes its time in a thread, and the caller may be given up meanwhile."""
    acme = await house.business()
    house.openai.without_usage()
    counted = MeteredCall._counted

    async def given_up_meanwhile(call: MeteredCall, ended: MeteredCall) -> Any:
        call.complete, call.cut_by_caller = False, True
        return await counted(call, ended)

    monkeypatch.setattr(MeteredCall, "_counted", given_up_meanwhile)
    if key is None:
        reply = await house.chat(acme)
    else:
        reply = await asks(acme, key=key)

    (row,) = await acme.transactions()
    assert (row.success, row.usage_source) == (True, "counted")
    assert reply.headers["x-credits-used"] == str(row.credits_used) != "0.00"
    assert f'"credits_used":"{row.credits_used}"' in access_log()


@pytest.mark.parametrize("says_usage", [True, False], ids=["reported", "counted"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_reply_that_is_kept_is_paid_for_though_its_gateway_dies(
    house: House, monkeypatch, stream, says_usage
):
    """The sweep charges what the reply cost, not what was last noted of the call."""
    acme = await house.business()
    if not says_usage:
        house.openai.without_usage()
    house.openai.streams(*["word "] * 50)
    await house.chat(acme, stream=stream)
    (settled,) = await acme.transactions()
    dies_before_it_settles(house, monkeypatch)

    first = await asks(acme, stream=stream)
    again = await asks(acme, stream=stream)
    await sweep_all(house, acme)

    row = (await acme.transactions())[1]
    assert same(again, first)
    assert (row.outcome, row.credits_used) == ("orphaned", settled.credits_used)
    assert same(await asks(acme, stream=stream), first)


async def test_a_rough_figure_is_put_right_and_stays_right(house: House, monkeypatch):
    """A renewal before had noted too much, and one that comes after notes the exact price."""
    acme = await house.business()
    calls = house.parts.loops.open_calls
    store = house.parts.doors._proxy._replays._store
    keeps, noted_before = store.keep, Credits.parse("0.25")

    async def renews_first(**given: Any) -> bool:
        await calls.renew_all()
        return await keeps(**given)

    async def noted_too_much(id: str, cost: Credits) -> bool:
        await calls._balances.renew(business=acme.id, id=id, lease_s=60.0, metered=noted_before)
        return await ended(id, cost)

    ended = calls.ended
    monkeypatch.setattr(calls, "ended", noted_too_much)
    monkeypatch.setattr(store, "keep", renews_first)
    monkeypatch.setattr(MeteredCall, "metered", lambda _: noted_before)
    dies_before_it_settles(house, monkeypatch)

    await asks(acme)
    await sweep_all(house, acme)

    (bill,) = house.openai.billed
    (row,) = await acme.transactions()
    assert row.credits_used == house.price_of(bill).credits_used < noted_before


async def test_a_reply_whose_hold_was_swept_is_not_kept(house: House):
    """The sweep may have charged nothing for it; its own settle puts that right, if it comes."""
    acme = await house.business()
    openai_works = Turnstile()
    house.openai.holds_replies(openai_works)
    calling = asyncio.create_task(asks(acme))
    await house.openai.received(1)
    await sweep_all(house, acme)
    openai_works.opens()

    first = await calling
    await house.quiet()

    assert first.status_code == 200
    assert refusal_in(await asks(acme)) == NOT_KEPT
    orphaned, adjusted = await acme.transactions()
    (bill,) = house.openai.billed
    assert orphaned.credits_used == Credits(0)
    assert adjusted.credits_used == house.price_of(bill).credits_used
    await check_laws(house)


async def test_a_price_that_cannot_be_noted_keeps_no_reply(house: House, monkeypatch):
    """Redis is away for a moment: the caller has its reply, and a repeated call is refused."""
    acme = await house.business()

    async def away(*_: object) -> bool:
        raise LedgerUnavailable("Redis did not answer")

    monkeypatch.setattr(house.parts.loops.open_calls, "ended", away)
    first = await asks(acme)
    await house.quiet()

    assert first.status_code == 200
    assert refusal_in(await asks(acme)) == NOT_KEPT
    await charged_as_billed(acme)


async def test_a_mistake_in_counting_harms_no_reply(house: House, monkeypatch, caplog):
    """It is told loudly, and the reply goes out; nothing is kept of what has no price."""
    acme = await house.business()
    house.openai.without_usage()

    async def broken(*_: object) -> object:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(MeteredCall, "_counted", broken)
    reply = await asks(acme, stream=True)
    while house.parts.loops.settler.unanswered:
        await asyncio.sleep(0)

    assert reply.status_code == 200
    assert reply.content.endswith(b"data: [DONE]\n\n")
    assert "settle_failed" in caplog.text
    redis: Any = house.parts.stores.redis
    (name,) = [key async for key in redis.scan_iter("*:replay:*")]
    assert await redis.hget(name, "reply") is None
