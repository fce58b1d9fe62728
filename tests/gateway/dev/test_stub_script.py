"""The stub OpenAI does as it is told: by a test, or by the call itself."""

from __future__ import annotations

import httpx2
import pytest

from gateway.dev.stub_openai import StubOpenAI
from metering import tokens
from tests.gateway.dev.stub_caller import a_call, a_stream, chat, events, scripted

pytestmark = pytest.mark.anyio


async def test_it_fails_as_told(openai: StubOpenAI, client: httpx2.AsyncClient) -> None:
    """With OpenAI's words or the test's, for so many calls, and bills nothing."""
    openai.fails(500, times=1)
    openai.fails(429, code="insufficient_quota", headers={"Retry-After": "3"}, times=1)
    openai.fails(418, {"tea": True}, times=1)
    replies = [await client.post("/chat/completions", json=a_call()) for _ in range(4)]

    assert [reply.status_code for reply in replies] == [500, 429, 418, 200]
    assert replies[0].json()["error"]["type"] == "server_error"
    assert replies[1].json()["error"]["code"] == "insufficient_quota"
    assert replies[1].headers["retry-after"] == "3"
    assert replies[2].json() == {"tea": True}
    assert len(openai.billed) == 1


async def test_it_breaks_off_as_told(openai: StubOpenAI, client: httpx2.AsyncClient) -> None:
    """After so many chunks; billed is what was written until then, or nothing."""
    openai.streams(" a", " b", " c")
    openai.breaks_after(chunks=2)
    for body in (a_stream(), a_call()):
        with pytest.raises(httpx2.RemoteProtocolError):
            await chat(client, body)
    openai.breaks_after(chunks=2, billed=False)
    with pytest.raises(httpx2.RemoteProtocolError):
        await chat(client, a_stream())

    assert [(bill.output_tokens, bill.cut) for bill in openai.billed] == [(2, True), (3, True)]


async def test_it_hangs_and_closes_as_told(openai: StubOpenAI, client: httpx2.AsyncClient) -> None:
    """Taken and never answered; the prompt is billed all the same."""
    openai.hangs()
    with pytest.raises(httpx2.ReadTimeout):
        await client.post("/chat/completions", json=a_call(), timeout=0.05)
    openai.resets()
    openai.closes(billed=False)
    with pytest.raises(httpx2.RemoteProtocolError):
        await chat(client, a_call())

    assert [bill.output_tokens for bill in openai.billed] == [0]


async def test_usage_is_told_as_told(openai: StubOpenAI, client: httpx2.AsyncClient) -> None:
    """Left out, it is billed all the same; given, it is billed as given."""
    openai.without_usage()
    silent = await chat(client, a_call())
    chunks = await events(client, a_stream())
    openai.resets()
    openai.with_usage({"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7})
    told = await chat(client, a_call())

    assert "usage" not in silent
    assert not any(chunk.get("usage") for chunk in chunks[:-1])
    assert openai.billed[0].output_tokens > 0
    assert told["usage"] == openai.billed[2].usage
    assert openai.billed[2].input_tokens == 7


async def test_it_calls_a_tool_as_told(openai: StubOpenAI, client: httpx2.AsyncClient) -> None:
    """In one piece, or its arguments as events."""
    openai.calls_tool("weather", '{"city":"Accra"}')

    message = (await chat(client, a_call()))["choices"][0]["message"]
    chunks = await events(client, a_stream())

    arguments = "".join(
        call["function"]["arguments"]
        for chunk in chunks[:-2]
        for call in chunk["choices"][0]["delta"].get("tool_calls", [])
    )
    assert message["content"] is None
    assert message["tool_calls"][0]["function"]["name"] == "weather"
    assert arguments == '{"city":"Accra"}'
    assert openai.billed[0].output_tokens == tokens.count(arguments, "o200k_base")


async def test_script_can_ride_on_the_call(openai: StubOpenAI, client: httpx2.AsyncClient) -> None:
    """So a stub in another process can be told too; the next call knows nothing of it."""
    failed = await client.post("/chat/completions", json=a_call(scripted(status=503)))
    chunks = await events(client, a_stream(scripted(chunks=4, delay_ms=1)))
    silent = await chat(client, a_call(scripted(usage=None, model="gpt-6-luna")))
    plain = await chat(client, a_call())

    assert failed.status_code == 503
    assert len(chunks) == 1 + 4 + 1 + 1 + 1
    assert "usage" not in silent
    assert silent["model"] == openai.billed[1].model == "gpt-6-luna"
    assert plain["usage"] == openai.billed[2].usage
