"""The stub OpenAI answers as OpenAI does."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from gateway.dev.stub_openai import StubOpenAI
from tests.gateway.dev.stub_caller import a_call, a_stream, events, scripted

pytestmark = pytest.mark.anyio


async def test_reply_looks_like_openais(client: httpx2.AsyncClient) -> None:
    """Every field and header that a reader or a filter of ours may meet."""
    response = await client.post("/chat/completions", json=a_call())
    reply = response.json()

    assert reply["id"].startswith("chatcmpl-")
    assert reply["object"] == "chat.completion"
    assert reply["model"] == "gpt-6-sol"
    assert reply["service_tier"] == "default"
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert "stub" in reply["choices"][0]["message"]["content"]
    assert set(reply["usage"]["prompt_tokens_details"]) >= {"cached_tokens", "cache_write_tokens"}
    assert response.headers["x-request-id"].startswith("req_")
    assert {"set-cookie", "openai-organization", "x-ratelimit-limit-tokens"} <= set(
        response.headers
    )


async def test_stream_says_the_same_in_events(
    openai: StubOpenAI, client: httpx2.AsyncClient
) -> None:
    """A role, the text piece by piece, the reason of the end, the usage, [DONE]."""
    openai.streams("Once", " upon", " a time")

    *chunks, usage, done = await events(client, a_stream())

    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content") or "" for delta in deltas) == "Once upon a time"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert all(chunk["usage"] is None for chunk in chunks)
    assert usage["choices"] == []
    assert usage["usage"] == openai.billed[0].usage
    assert done == "[DONE]"


async def test_usage_is_streamed_only_when_it_is_asked_for(client: httpx2.AsyncClient) -> None:
    """Without include_usage no event has the word."""
    chunks = await events(client, a_call(stream=True))

    assert not any("usage" in chunk for chunk in chunks)


async def test_key_is_checked_in_openais_words() -> None:
    """Any key will do, unless one was named."""
    async with (
        StubOpenAI.serving(api_key="sk-the-right-one") as openai,
        httpx2.AsyncClient(base_url=openai.base_url, trust_env=False) as client,
    ):
        none = await client.post("/chat/completions", json=a_call())
        wrong = await client.get("/models", headers={"authorization": "Bearer sk-a-wrong-one"})
        right = await client.get("/models", headers={"authorization": "Bearer sk-the-right-one"})

    assert none.status_code == wrong.status_code == 401
    assert wrong.json()["error"]["code"] == "invalid_api_key"
    assert "sk-a-wr********-one" in wrong.json()["error"]["message"]
    assert right.status_code == 200
    assert openai.billed == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 400),
        ({"messages": [{"role": "user"}]}, 400),
        ({"model": "gpt-6-sol"}, 400),
        ({"model": "gpt-6-sol", "messages": []}, 400),
        ({"model": "gpt-6-sol", "messages": ["hello"]}, 400),
        (a_call(n=0), 400),
        (a_call(n=True), 400),
        (a_call(max_completion_tokens="9"), 400),
        (a_call(model="claude"), 404),
        (a_call(scripted(nonsense=1)), 400),
        (a_call(scripted(chunks="many")), 400),
        (a_call("[[stub nonsense"), 400),
    ],
)
async def test_call_that_openai_would_refuse_is_refused(
    openai: StubOpenAI, client: httpx2.AsyncClient, body: Any, status: int
) -> None:
    """And costs nothing."""
    response = await client.post("/chat/completions", json=body)

    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert openai.billed == []


async def test_models_are_listed(client: httpx2.AsyncClient) -> None:
    """One by one too; other paths are unknown."""
    listed = (await client.get("/models")).json()["data"]
    one = await client.get("/models/gpt-6-sol")
    unknown = await client.get("/models/claude")
    elsewhere = await client.get("/elsewhere")

    assert "gpt-6-sol" in [model["id"] for model in listed]
    assert one.json()["id"] == "gpt-6-sol"
    assert (unknown.status_code, elsewhere.status_code) == (404, 404)
