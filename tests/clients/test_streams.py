"""Streams through the official client."""

from __future__ import annotations

import asyncio

import pytest
from openai import APIError

from tests.house import MODEL
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio

HELLO = [{"role": "user", "content": "Hello"}]


def words(chunks) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


async def test_a_blocking_client_reads_a_stream(house, sync):
    """Apps index `choices[0]`: the usage chunk they did not ask for is not there."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a time")
    chat = sync(acme.key).chat.completions

    chunks = await asyncio.to_thread(
        lambda: list(chat.create(model=MODEL, messages=HELLO, stream=True))
    )

    assert words(chunks) == "Once upon a time"
    (row,) = await charged_as_billed(acme)
    assert row.usage_source == "reported"


async def test_an_async_client_reads_a_stream(house, asynchronous):
    """The same on an event loop."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a time")

    async with asynchronous(acme.key) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        chunks = [chunk async for chunk in stream]

    assert words(chunks) == "Once upon a time"
    await charged_as_billed(acme)


async def test_a_client_that_asks_for_usage_gets_it_last(house, sync):
    """stream_options.include_usage: one more chunk, without choices, with the usage."""
    acme = await house.business()
    chat = sync(acme.key).chat.completions
    options = {"include_usage": True}

    chunks = await asyncio.to_thread(
        lambda: list(chat.create(model=MODEL, messages=HELLO, stream=True, stream_options=options))
    )

    (row,) = await charged_as_billed(acme)
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == row.tokens_used
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_the_figures_of_a_stream_are_in_its_headers_and_its_last_comment(house, sync):
    """X-Credits-In-Stream: 1 adds a comment, which the client skips."""
    acme = await house.business()
    chat = sync(acme.key).chat.completions
    headers = {"X-Credits-In-Stream": "1"}

    raw = await asyncio.to_thread(
        lambda: chat.with_raw_response.create(
            model=MODEL, messages=HELLO, stream=True, extra_headers=headers
        )
    )
    chunks = await asyncio.to_thread(lambda: list(raw.parse()))

    (row,) = await charged_as_billed(acme)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert raw.headers["x-transaction-id"] == row.id
    assert raw.headers["x-credits-held"] == str(row.credits_held)


async def test_the_clients_own_stream_puts_a_tool_call_together(house, sync):
    """`chat.completions.stream` is what agents use."""
    acme = await house.business()
    house.openai.calls_tool("weather", '{"city": "Accra"}')
    chat = sync(acme.key).chat.completions
    tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}

    def read():
        with chat.stream(model=MODEL, messages=HELLO, tools=[tool]) as stream:
            return stream.get_final_completion()

    reply = await asyncio.to_thread(read)

    (call,) = reply.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Accra"}')
    await charged_as_billed(acme)


async def test_a_stream_that_breaks_raises(house, sync):
    """The last event says why; the client does not take it for the end."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a", " time")
    house.openai.breaks_after(2)
    chat = sync(acme.key).chat.completions
    seen = []

    def read():
        for chunk in chat.create(model=MODEL, messages=HELLO, stream=True):
            seen.append(chunk)

    with pytest.raises(APIError) as raised:
        await asyncio.to_thread(read)

    assert raised.value.code == "upstream_error"
    assert words(seen) == "Once upon"
    (row,) = await acme.transactions()
    assert (row.success, row.usage_source) == (False, "counted")


async def test_a_client_that_leaves_a_stream_pays_what_openai_billed(house, sync):
    """`stream.close()` after the first chunk."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a time")
    chat = sync(acme.key).chat.completions

    def read_one():
        with chat.create(model=MODEL, messages=HELLO, stream=True) as stream:
            next(iter(stream))

    await asyncio.to_thread(read_one)

    (row,) = await charged_as_billed(acme)
    assert row.usage_source == "reported"
