"""The official client sends an Idempotency-Key as any other header."""

from __future__ import annotations

import asyncio

import pytest

from tests.house import MODEL
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio

HELLO = [{"role": "user", "content": "Hello"}]
NAMED = {"Idempotency-Key": "order-17"}


async def test_a_repeated_call_is_one_call(house, sync):
    """The same object comes out, and it is paid for once."""
    acme = await house.business()
    chat = sync(acme.key).chat.completions

    first, again = [
        await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO, extra_headers=NAMED)
        for _ in range(2)
    ]

    assert again == first
    assert len(await charged_as_billed(acme)) == 1


async def test_a_repeated_stream_is_one_call(house, asynchronous):
    """Every chunk comes again."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a", " time")

    async with asynchronous(acme.key) as client:
        told = []
        for _ in range(2):
            stream = await client.chat.completions.create(
                model=MODEL, messages=HELLO, stream=True, extra_headers=NAMED
            )
            told.append([chunk async for chunk in stream])

    assert told[0] == told[1]
    assert len(told[0]) > 4
    assert len(await charged_as_billed(acme)) == 1


async def test_the_client_waits_for_a_call_that_still_runs(house, asynchronous, door):
    """409 with x-should-retry: it asks again by itself, and gets the answer of the first."""
    acme = await house.business()
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)

    async with asynchronous(acme.key) as client:
        make = client.chat.completions.create
        first = asyncio.create_task(make(model=MODEL, messages=HELLO, extra_headers=NAMED))
        await house.openai.received(1)
        again = asyncio.create_task(make(model=MODEL, messages=HELLO, extra_headers=NAMED))
        while 409 not in door.answers:
            await asyncio.sleep(0.001)
        openai_may_answer.set()

        assert await again == await first
    assert door.answers == [409, 200, 200]
    assert len(await charged_as_billed(acme)) == 1


async def test_an_answer_after_a_failure_of_openais_comes_by_itself(house, sync, door):
    """500 and then 200 under one key, as the client retries it."""
    acme = await house.business()
    house.openai.fails(500, times=1)
    chat = sync(acme.key).chat.completions

    await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO, extra_headers=NAMED)

    assert door.answers == [500, 200]
    assert [row.http_status for row in await charged_as_billed(acme)] == [500, 200]
