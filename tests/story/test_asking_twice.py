"""A caller who asks twice: it names its call, and pays for it once."""

from __future__ import annotations

import asyncio

import pytest

from metering.money import Credits
from tests.house import House

pytestmark = pytest.mark.anyio

NAMED = {"Idempotency-Key": "invoice-17"}


async def test_who_asks_again_gets_the_same_answer_and_pays_once(house: House) -> None:
    """The reply is kept for a day under the key that the caller gave the call."""
    acme = await house.business()
    house.openai.says("Once upon a time there was a meter.")

    first = await house.chat(acme, headers=NAMED)
    again = await house.chat(acme, headers=NAMED)

    assert again.content == first.content
    assert again.headers["x-transaction-id"] == first.headers["x-transaction-id"]
    assert again.headers["idempotency-replayed"] == "true"
    (row,) = await acme.transactions()
    assert await acme.available() == acme.topped_up - row.credits_used


async def test_who_asks_again_too_early_is_told_to_wait(house: House) -> None:
    """The first call still runs: nothing is forwarded a second time."""
    acme = await house.business()
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)

    first = asyncio.create_task(house.chat(acme, headers=NAMED))
    await house.openai.received(1)
    again = await house.chat(acme, headers=NAMED)
    openai_may_answer.set()
    await first

    assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotency_in_flight")
    assert again.headers["x-should-retry"] == "true"
    assert len(house.openai.requests) == 1


async def test_what_cost_nothing_may_be_tried_again_under_its_name(house: House) -> None:
    """OpenAI failed, so there is no answer to give again."""
    acme = await house.business()
    house.openai.fails(500, times=1)

    failed = await house.chat(acme, headers=NAMED)
    served = await house.chat(acme, headers=NAMED)

    assert (failed.status_code, served.status_code) == (500, 200)
    assert "idempotency-replayed" not in served.headers
    assert [row.credits_used > Credits(0) for row in await acme.transactions()] == [False, True]
