"""The stub OpenAI: answers as OpenAI does, bills to the token, and does as it is told."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.dev import stub_bills
from gateway.dev.stub_gates import Turnstile
from gateway.dev.stub_openai import StubOpenAI
from metering import tokens

pytestmark = pytest.mark.anyio

HEADERS = {"authorization": "Bearer sk-ours", "x-client-request-id": "t-1"}


@pytest.fixture
async def openai() -> AsyncIterator[StubOpenAI]:
    """A stub that listens."""
    async with StubOpenAI.serving() as stub:
        yield stub


@pytest.fixture
async def client(openai: StubOpenAI) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client of it."""
    async with httpx2.AsyncClient(
        base_url=openai.base_url, headers=HEADERS, trust_env=False, timeout=10
    ) as client:
        yield client


def a_call(content: Any = "hello", **fields: Any) -> dict[str, Any]:
    """A chat completion's body."""
    return {"model": "gpt-6-sol", "messages": [{"role": "user", "content": content}], **fields}


def a_stream(content: Any = "hello", **fields: Any) -> dict[str, Any]:
    """The same, streamed, with usage."""
    return a_call(content, stream=True, stream_options={"include_usage": True}, **fields)


def scripted(**script: Any) -> str:
    """A message that tells the stub what to do."""
    return f"[[stub {json.dumps(script)}]] and then some"


async def chat(client: httpx2.AsyncClient, body: Any) -> Any:
    """The JSON of the reply."""
    return (await client.post("/chat/completions", json=body)).json()


async def events(client: httpx2.AsyncClient, body: Any) -> list[Any]:
    """The events of the reply; "[DONE]" as text."""
    response = await client.post("/chat/completions", json=body)
    return _events(response.text)


def _events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


# As OpenAI does


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
    elsewhere = await client.get("/files")

    assert "gpt-6-sol" in [model["id"] for model in listed]
    assert one.json()["id"] == "gpt-6-sol"
    assert (unknown.status_code, elsewhere.status_code) == (404, 404)


# The bill


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


# As it is told


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


async def test_replies_wait_at_the_gate(openai: StubOpenAI, client: httpx2.AsyncClient) -> None:
    """A test can have calls on their way for as long as it likes."""
    openai.gate = gate = asyncio.Event()
    calls = [asyncio.create_task(chat(client, a_call())) for _ in range(3)]
    await openai.received(3)

    assert not any(call.done() for call in calls)

    gate.set()
    await asyncio.gather(*calls)

    assert len(openai.billed) == 3


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


async def test_turnstile_lets_so_many_through() -> None:
    """And all, once it is open."""
    turnstile = Turnstile()
    passed = 0

    async def goes_through() -> None:
        nonlocal passed
        await turnstile.wait()
        passed += 1

    tasks = [asyncio.create_task(goes_through()) for _ in range(5)]
    turnstile.lets_through(2)
    for _ in range(10):
        await asyncio.sleep(0)
    before = passed
    turnstile.opens()
    await asyncio.gather(*tasks)

    assert before == 2
    assert passed == 5


# As a process of its own


@pytest.mark.parametrize("lean", [False, True], ids=["", "lean"])
async def test_it_runs_as_a_process_of_its_own(tmp_path: Path, lean: bool) -> None:
    """It says where it is, writes its bills to a file, and ends when it is told to."""
    billed = tmp_path / "billed.jsonl"
    arguments = ["--billed", str(billed), "--latency-ms", "1", *(["--lean"] if lean else [])]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.dev.stub_openai",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    base_url = (await process.stdout.readline()).decode().strip()
    async with httpx2.AsyncClient(base_url=base_url, headers=HEADERS, trust_env=False) as client:
        reply = await chat(client, a_call())
        body = json.dumps(a_stream(scripted(chunks=32)), separators=(",", ":"))
        response = await client.post("/chat/completions", content=body)
        told = await client.get(base_url.removesuffix("/v1") + "/stub/billed")
        health = await client.get(base_url.removesuffix("/v1") + "/stub/health")
    process.send_signal(signal.SIGTERM)
    code = await process.wait()

    bills = stub_bills.read(billed)
    *chunks, usage, done = _events(response.text)
    texts = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert code == 0
    assert health.status_code == 200
    assert reply["usage"] == bills[0].usage
    assert usage["usage"] == bills[1].usage
    assert [text for text in texts if text] == [" word"] * 32
    assert done == "[DONE]"
    assert [bill.transaction for bill in bills] == ["t-1", "t-1"]
    assert [stub_bills.Bill(**bill) for bill in told.json()["billed"]] == bills
