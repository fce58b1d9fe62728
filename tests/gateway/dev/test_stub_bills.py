"""The stub OpenAI bills to the token, whatever the caller does."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from gateway.dev.stub_gates import Turnstile
from gateway.dev.stub_openai import StubOpenAI
from metering import tokens
from tests.gateway.dev.stub_caller import a_call, a_stream, chat

pytestmark = pytest.mark.anyio


async def test_bill_is_exact(openai: StubOpenAI, client: httpx2.AsyncClient) -> None:
    """The prompt as the cookbook counts it, the text token by token, for each choice."""
    openai.says("one two three")

    reply = await chat(client, a_call("four five", n=3))

    bill = openai.billed[0]
    words = [tokens.count(text, "o200k_base") for text in ("user", "four five")]
    assert bill.input_tokens == sum(words) + 3 + 3
    assert bill.output_tokens == 3 * tokens.count("one two three", "o200k_base")
    assert reply["usage"] == bill.usage
    assert (bill.transaction, bill.model, bill.tier) == ("t-1", "gpt-6-sol", "default")
    assert len(reply["choices"]) == 3


async def test_limit_of_the_call_is_kept(openai: StubOpenAI, client: httpx2.AsyncClient) -> None:
    """Text beyond it is not written and not billed; reasoning is in it."""
    openai.streams(*[" word"] * 40)
    openai.changes(reasoning_tokens=3)

    reply = await chat(client, a_call(max_completion_tokens=10, n=2))
    tiny = await chat(client, a_call(max_tokens=2))

    assert reply["choices"][1]["message"]["content"] == " word" * 7
    assert reply["choices"][1]["finish_reason"] == "length"
    assert [bill.output_tokens for bill in openai.billed] == [20, 2]
    assert tiny["usage"]["completion_tokens_details"]["reasoning_tokens"] == 2


async def test_text_ends_at_a_stop_sequence(openai: StubOpenAI, client: httpx2.AsyncClient) -> None:
    """Wherever the pieces were cut."""
    openai.streams("one, t", "wo, three")

    reply = await chat(client, a_call(stop=["two", "three"]))

    assert reply["choices"][0]["message"]["content"] == "one, "
    assert reply["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("events_read", range(6))
async def test_stream_is_billed_whole_whenever_the_reader_leaves(
    openai: StubOpenAI, client: httpx2.AsyncClient, events_read: int
) -> None:
    """OpenAI bills what the model wrote, whether or not somebody still reads."""
    gate = Turnstile()
    openai.streams(" a", " b", " c", " d", " e")
    openai.waits_between_chunks(gate)
    gate.lets_through(events_read)

    async with client.stream("POST", "/chat/completions", json=a_stream()) as response:
        seen = 0
        async for line in response.aiter_lines():
            seen += line.startswith("data: ")
            if seen == events_read + 1:
                break
    gate.opens()
    while not openai.billed:
        await asyncio.sleep(0.001)

    assert openai.billed[0].output_tokens == 5
    assert not openai.billed[0].cut


async def test_worst_case_is_all_that_the_call_allows(
    openai: StubOpenAI, client: httpx2.AsyncClient
) -> None:
    """The limit for each choice; without one, the most that a model writes."""
    openai.worst_case()

    await chat(client, a_call(max_completion_tokens=50, n=2))
    await chat(client, a_call())

    assert [bill.output_tokens for bill in openai.billed] == [100, 128_000]
