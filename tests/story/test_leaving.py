"""A caller who leaves: it pays exactly what OpenAI billed, whenever it goes."""

from __future__ import annotations

import asyncio

import pytest

from gateway.dev.stub_gates import Turnstile
from metering.money import Credits
from tests.house import House

pytestmark = pytest.mark.anyio


async def test_a_caller_that_leaves_a_stream_pays_what_openai_billed(house: House) -> None:
    """A broken connection settles the hold; the reply is read to its end for the usage."""
    acme = await house.business()
    house.openai.streams("Once upon a time", " there was", " a meter")
    turnstile = Turnstile()
    house.openai.waits_between_chunks(turnstile)
    turnstile.lets_through()

    await house.chat_left_after(acme, events=1)
    turnstile.opens()

    (row,) = await acme.transactions()
    (bill,) = house.openai.billed
    assert row.credits_used == house.price_of(bill).credits_used
    assert row.usage_source == "reported"
    assert await acme.held() == Credits(0)
    assert await acme.available() == acme.topped_up - row.credits_used


async def test_a_caller_that_leaves_before_a_json_reply_pays_what_openai_billed(
    house: House,
) -> None:
    """The call to OpenAI goes on without it."""
    acme = await house.business()
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)

    call = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)
    call.cancel()
    await asyncio.wait([call])
    openai_may_answer.set()

    (row,) = await acme.transactions()
    (bill,) = house.openai.billed
    assert row.credits_used == house.price_of(bill).credits_used
    assert await acme.held() == Credits(0)
