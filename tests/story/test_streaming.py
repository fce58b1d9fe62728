"""A streamed call: every byte at once, the usage counted, the extra event taken out."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.dev.stub_gates import Turnstile
from metering.money import Credits
from tests.house import House

pytestmark = pytest.mark.anyio


def events_of(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


async def test_a_stream_is_charged_by_the_usage_the_caller_did_not_ask_for(house: House) -> None:
    """include_usage is put into the call, and its event is taken out of the reply."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a time")

    reply = await house.chat(acme, stream=True)

    events = events_of(reply.text)
    assert all(event["choices"] for event in events)
    said = "".join(event["choices"][0]["delta"].get("content") or "" for event in events)
    assert said == "Once upon a time"
    (bill,) = house.openai.billed
    (row,) = await acme.transactions()
    assert (row.credits_used, row.usage_source) == (house.price_of(bill).credits_used, "reported")
    assert json.loads(house.openai.requests[0].body)["stream_options"] == {"include_usage": True}


async def test_a_caller_that_asks_for_usage_gets_its_event(house: House) -> None:
    """Then every byte passes unchanged."""
    acme = await house.business()

    reply = await house.chat(acme, stream=True, stream_options={"include_usage": True})

    assert events_of(reply.text)[-1]["usage"]["total_tokens"] > 0


async def test_each_chunk_is_passed_on_before_the_next_one_comes(house: House) -> None:
    """Nothing waits for the end of the reply."""
    acme = await house.business()
    house.openai.streams("one", "two", "three")
    turnstile = Turnstile()
    house.openai.waits_between_chunks(turnstile)
    seen: list[str] = []

    async with house.stream(acme) as reply:
        async for line in reply.aiter_lines():
            if '"role":"assistant"' in line:
                turnstile.lets_through()
            for word in ("one", "two", "three"):
                if f'"content":"{word}"' in line:
                    seen.append(word)
                    # Only what was seen lets the next one be sent.
                    turnstile.lets_through()

    assert seen == ["one", "two", "three"]


async def test_the_figures_come_as_a_last_comment_when_asked(house: House) -> None:
    """X-Credits-In-Stream: 1; an SSE comment, which every client skips."""
    acme = await house.business()

    reply = await house.chat(acme, stream=True, headers={"X-Credits-In-Stream": "1"})

    (row,) = await acme.transactions()
    assert reply.headers["x-credits-held"] == str(row.credits_held)
    last = reply.text.rstrip().splitlines()[-1]
    assert last.startswith(f": x-credits-used={row.credits_used} x-credits-remaining=")


async def test_a_stream_without_usage_is_counted(house: House) -> None:
    """tiktoken counts what was asked and what was said; the row is marked."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a time")
    house.openai.without_usage()

    await house.chat(acme, stream=True)

    (bill,) = house.openai.billed
    (row,) = await acme.transactions()
    assert (row.usage_source, row.estimated) == ("counted", True)
    assert row.usage["output"] == bill.output_tokens
    assert row.usage["input"] == bill.input_tokens


async def test_a_stream_that_breaks_is_charged_for_what_was_received(house: House) -> None:
    """The caller is told in the stream; the row says that it failed."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a", " time")
    house.openai.breaks_after(2)
    lines: list[str] = []

    async with house.stream(acme) as reply:
        try:
            async for line in reply.aiter_lines():
                lines.append(line)
        except Exception as error:
            lines.append(type(error).__name__)

    assert any('"code":"upstream_error"' in line for line in lines)
    assert lines[-1] == "RemoteProtocolError"
    (row,) = await acme.transactions()
    assert (row.success, row.usage_source, row.usage["output"]) == (False, "counted", 2)
    assert Credits(0) < row.credits_used <= row.credits_held
    assert await asyncio.wait_for(acme.held(), 5) == Credits(0)
