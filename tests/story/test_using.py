"""Using: a call is held, forwarded, metered, settled and recorded."""

from __future__ import annotations

import asyncio

import pytest

from metering.money import Credits
from tests.house import House

pytestmark = pytest.mark.anyio


async def test_a_call_at_a_fixed_price_costs_exactly_that(house: House) -> None:
    """A product description is 2.50 credits, whatever OpenAI used."""
    acme = await house.business("80.00", features=("product_description",))
    house.openai.says("A kente scarf, woven by hand.")

    reply = await house.chat(acme, headers={"X-Feature": "product_description"})

    assert reply.status_code == 200
    assert reply.headers["x-credits-used"] == "2.50"
    assert reply.headers["x-credits-remaining"] == "77.50"
    (row,) = await acme.transactions()
    assert (row.feature, str(row.credits_used), row.success) == (
        "product_description",
        "2.50",
        True,
    )
    assert await acme.recorded() == Credits.parse("77.50")
    assert await acme.available() == Credits.parse("77.50")


async def test_a_call_priced_by_tokens_costs_what_openai_reported(house: House) -> None:
    """Usage of the reply x the rate card x credits per dollar x markup, rounded up once."""
    acme = await house.business("50.00")

    reply = await house.chat(acme, headers={"X-Feature": "small_talk", "X-User": "ama"})

    (bill,) = house.openai.billed
    price = house.price_of(bill)
    (row,) = await acme.transactions()
    assert row.id == bill.transaction == reply.headers["x-transaction-id"]
    assert (row.credits_used, row.cost_to_us) == (price.credits_used, price.cost_to_us)
    assert (row.user, row.feature, row.endpoint) == ("ama", "small_talk", "chat.completions")
    assert row.tokens_used == bill.input_tokens + bill.output_tokens
    assert (row.usage_source, row.outcome, row.http_status) == ("reported", "settled", 200)
    assert await acme.recorded() == acme.topped_up - price.credits_used


async def test_credits_are_set_aside_before_anything_is_forwarded(house: House) -> None:
    """While OpenAI works, the ceiling is held; afterwards nothing is."""
    acme = await house.business("50.00")
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)

    call = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)
    held = await acme.held()
    openai_may_answer.set()
    reply = await call

    assert held > Credits.parse(reply.headers["x-credits-used"])
    assert str(held) == reply.headers["x-credits-held"]
    assert await acme.recorded() == await acme.available()
    assert await acme.held() == Credits(0)


async def test_what_openai_refuses_costs_nothing(house: House) -> None:
    """Its error is passed on as it is, and the row says that it failed."""
    acme = await house.business("50.00")
    house.openai.fails(400)

    reply = await house.chat(acme)

    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
    (row,) = await acme.transactions()
    assert (row.success, row.credits_used, row.http_status) == (False, Credits(0), 400)
    assert row.outcome == "released"
    assert await acme.available() == acme.topped_up
