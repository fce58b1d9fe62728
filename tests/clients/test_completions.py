"""Completions of the older kind through the official client."""

from __future__ import annotations

import asyncio

import pytest

from tests.rows import INSTRUCT, add_rows, charged_by_unit

pytestmark = pytest.mark.anyio


async def test_a_blocking_client_gets_its_answers(house, sync, door):
    """Two prompts, two answers each."""
    add_rows(house, INSTRUCT)
    acme = await house.business()
    house.openai.says(" there was a meter")
    create = sync(acme.key).completions.with_raw_response.create

    raw = await asyncio.to_thread(create, model=INSTRUCT.id, prompt=["Once", "Twice"], n=2)

    reply = raw.parse()
    assert [choice.text for choice in reply.choices] == [" there was a meter"] * 4
    assert door == ["POST /v1/completions"]
    (row,) = await charged_by_unit(acme)
    assert reply.usage.total_tokens == row.tokens_used
    assert raw.headers["x-credits-used"] == str(row.credits_used)


async def test_an_async_client_streams(house, asynchronous):
    """Chunk by chunk, without an event that it did not ask for."""
    add_rows(house, INSTRUCT)
    acme = await house.business()
    house.openai.streams(" there", " was", " a", " meter")

    async with asynchronous(acme.key) as client:
        stream = await client.completions.create(model=INSTRUCT.id, prompt="Once", stream=True)
        chunks = [chunk async for chunk in stream]

    assert "".join(chunk.choices[0].text for chunk in chunks) == " there was a meter"
    await charged_by_unit(acme)
