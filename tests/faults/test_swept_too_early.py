"""A call that was taken for dead and still ends: its row is corrected by another, exactly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.dev.stub_gates import Turnstile
from metering.money import Credits
from storage import redis_keys
from tests.engine import Engine
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
