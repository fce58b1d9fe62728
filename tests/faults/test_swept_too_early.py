"""A call that was taken for dead and still ends: its row is corrected by another, exactly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from gateway.dev.stub_gates import Turnstile
from metering.money import Credits, Usd
from storage import redis_keys
from storage.proving import Prover
from tests.engine import Engine
from tests.gateway.scraped import scraped
from tests.house import Acme, House, open_house
from tests.laws.laws import check_laws
from tests.laws.lifetimes import nothing_is_left

pytestmark = pytest.mark.anyio


@pytest.fixture
async def house(durable_valkey: Engine, sqlite_records_url: str) -> AsyncIterator[House]:
    """A house on Valkey and SQLite."""
    async with open_house(redis_url=durable_valkey.url, records_url=sqlite_records_url) as opened:
        yield opened


async def sweep_all(house: House, acme: Acme) -> None:
    """End every lease of a business, as if its gateway had been silent, and sweep."""
    deadlines = redis_keys.deadlines(redis_keys.partition_of(acme.id))
    redis = house.parts.stores.redis
    members: list[Any] = await redis.zrange(deadlines, 0, -1)
    for member in members:
        await redis.zadd(deadlines, {member: 1})
    assert await house.parts.loops.sweeper.sweep_once() == 1


@pytest.mark.parametrize("answer_is_there", [True, False], ids=["soon", "late"])
async def test_what_was_swept_and_then_settled_is_charged_once(
    house: House, answer_is_there: bool
) -> None:
    """An orphaned row, and an adjusted one for the rest: by Redis's answer, later by SQL."""
    acme = await house.business()
    openai_works = Turnstile()
    house.openai.holds_replies(openai_works)
    calling = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)

    await sweep_all(house, acme)
    while await house.parts.loops.recorder.record_once():
        pass
    if not answer_is_there:
        redis = house.parts.stores.redis
        assert await redis.delete(*[key async for key in redis.scan_iter("*:answer:*")])
    openai_works.opens()
    reply = await calling

    orphaned, adjusted = await acme.transactions()
    (bill,) = house.openai.billed
    price = house.price_of(bill).credits_used
    assert reply.headers["x-credits-used"] == str(price)
    assert (orphaned.outcome, orphaned.credits_used) == ("orphaned", Credits(0))
    assert (adjusted.outcome, adjusted.credits_used) == ("adjusted", price)
    assert adjusted.adjusts == orphaned.id == bill.transaction
    assert await acme.available() == await acme.recorded() == acme.topped_up - price
    await check_laws(house)
    await nothing_is_left(house.parts.stores.redis)


@pytest.mark.parametrize("answer_is_there", [True, False], ids=["soon", "late"])
@pytest.mark.parametrize("ends", ["served", "refused", "fitted"])
async def test_two_rows_of_a_call_cost_us_what_it_cost(
    house: House, answer_is_there: bool, ends: str
) -> None:
    """The rollup, the margin and the metric have its true cost; its tokens and call once."""
    acme = await house.business("0.05" if ends == "fitted" else "50.00")
    openai_works = Turnstile()
    if ends == "refused":
        house.openai.fails(500)
    house.openai.holds_replies(openai_works)
    calling = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)
    await sweep_all(house, acme)
    while await house.parts.loops.recorder.record_once():
        pass
    if not answer_is_there:
        redis = house.parts.stores.redis
        assert await redis.delete(*[key async for key in redis.scan_iter("*:answer:*")])
    openai_works.opens()
    assert (await calling).status_code == (500 if ends == "refused" else 200)

    orphaned, adjusted = await acme.transactions()
    bills = [house.price_of(bill) for bill in house.openai.billed]
    cost = sum((bill.cost_to_us for bill in bills), Usd(0))
    assert orphaned.cost_to_us > cost
    assert adjusted.cost_to_us.pico == cost.pico - orphaned.cost_to_us.pico < 0
    assert orphaned.usage == {}
    sums = "SUM(calls), SUM(tokens), SUM(cost_picodollars), SUM(credits_microcredits)"
    margin = "calls, tokens, cost_to_us_picodollars, credits_used_microcredits"
    expected = (1, adjusted.tokens_used, cost.pico, (acme.topped_up - await acme.recorded()).micro)
    async with house.database.read() as connection:
        (rolled_up,) = await connection.execute(text(f"SELECT {sums} FROM usage_daily"))
        (seen,) = await connection.execute(
            text(f"SELECT {margin} FROM v_margin_monthly WHERE calls > 0")
        )
    assert tuple(rolled_up) == tuple(seen) == expected
    counted = (await scraped(house)).of("cost_dollars_total", model=adjusted.model)
    assert counted == pytest.approx(cost.pico / 10**12)
    await check_laws(house)
    async for page in Prover(house.database, house.parts.stores.redis).all():
        assert page.violations == []
