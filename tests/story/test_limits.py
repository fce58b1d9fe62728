"""Limits: a key may do so much in a minute, so much at a time, and spend so much in all."""

from __future__ import annotations

import asyncio

import pytest

from metering.money import Credits
from tests.house import House
from tests.one_house import with_limits

pytestmark = pytest.mark.anyio


async def test_a_key_has_so_many_calls_a_minute(house: House) -> None:
    """The next one is told when to come again; the business's other keys go on."""
    acme = await house.business()
    till = await with_limits(acme, requests_per_minute=2)

    told = [await house.chat(till) for _ in range(3)]

    assert [reply.status_code for reply in told] == [200, 200, 429]
    left = [reply.headers["x-ratelimit-remaining-requests"] for reply in told]
    assert left == ["1", "0", "0"]
    assert 0 < int(told[2].headers["retry-after"]) < 60
    assert (await house.chat(acme)).status_code == 200


async def test_a_key_has_so_many_calls_at_a_time(house: House) -> None:
    """One that ends makes place for the next."""
    till = await with_limits(await house.business(), concurrent=1)
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    running = asyncio.create_task(house.chat(till))
    await house.openai.received(1)

    too_early = await house.chat(till)
    openai_may_answer.set()
    await running
    await house.quiet()
    in_time = await house.chat(till)

    assert (too_early.status_code, in_time.status_code) == (429, 200)


async def test_a_key_may_spend_so_much_and_no_more(house: House) -> None:
    """A pupil has 0.05 credits of the school's 50; the school goes on when they are spent."""
    school = await house.business()
    pupil = await with_limits(school, credit_cap="0.05")
    house.openai.worst_case()

    spent = Credits(0)
    while (reply := await house.chat(pupil, max_completion_tokens=300)).status_code == 200:
        await house.quiet()
        spent = spent + Credits.parse(reply.headers["x-credits-used"])

    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (402, "key_credit_cap_reached")
    assert Credits(0) < spent <= Credits.parse("0.05")
    assert error["metadata"]["spent"] == str(spent)
    assert await school.available() == school.topped_up - spent
    assert (await house.chat(school)).status_code == 200
