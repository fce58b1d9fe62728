"""The official client over websockets, unchanged: only its base URL and its key are ours."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.gateway.ws_caller import REALTIME, SECOND, charged_is_billed, switch_on
from tests.house import MODEL

pytestmark = pytest.mark.anyio


async def test_realtime_asynchronously(house, asynchronous):
    """`client.realtime.connect`: asked for, and answered without being asked."""
    switch_on(house, "realtime")
    acme = await house.business()

    async with asynchronous(acme.key) as client, client.realtime.connect(model=REALTIME) as line:
        assert (await line.recv()).type == "session.created"
        await line.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await line.conversation.item.create(
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Hello"}],
            }
        )
        await line.response.create()
        text = ""
        async for event in line:
            if event.type == "response.output_text.delta":
                text += event.delta
            if event.type == "response.done":
                break
        await line.input_audio_buffer.append(audio=SECOND)
        async for event in line:
            if event.type == "response.done":
                break

    assert text == "Hello from the stub OpenAI. No model was asked and nothing was paid; set " \
        "OPENAI_API_KEY to speak with the real one."  # fmt: skip
    assert event.response.usage.input_token_details.audio_tokens == 10
    assert len(house.openai.billed) == 2
    await charged_is_billed(house, acme)


async def test_realtime_blocking(house, sync):
    """The same with the blocking client."""
    switch_on(house, "realtime")
    acme = await house.business()

    def talk() -> str:
        with sync(acme.key).realtime.connect(model=REALTIME) as line:
            line.response.create(response={"output_modalities": ["text"]})
            for event in line:
                if event.type == "response.done":
                    return str(event.response.status)
        return "closed"

    assert await asyncio.to_thread(talk) == "completed"
    await charged_is_billed(house, acme)


async def test_responses_asynchronously(house, asynchronous):
    """`client.responses.connect`: two responses, the second continues the first."""
    acme = await house.business()

    async with asynchronous(acme.key) as client, client.responses.connect() as line:
        await line.response.create(model=MODEL, input="Hello")
        first = await completed(line)
        await line.response.create(model=MODEL, input="And?", previous_response_id=first.id)
        second = await completed(line)

    assert second.usage.input_tokens > first.usage.total_tokens
    await charged_is_billed(house, acme)


async def test_responses_blocking(house, sync):
    """The same with the blocking client, and an error that it shows."""
    acme = await house.business()

    def talk() -> list[str]:
        seen = []
        with sync(acme.key).responses.connect() as line:
            line.response.create(model="gpt-unknown", input="Hello")
            line.response.create(model=MODEL, input="Hello")
            for event in line:
                seen.append(event.type)
                if event.type == "error":
                    seen.append(event.error.code)
                if event.type == "response.completed":
                    return seen
        return seen

    seen = await asyncio.to_thread(talk)

    assert seen[:2] == ["error", "model_not_priced"]
    assert seen[-1] == "response.completed"
    await charged_is_billed(house, acme)


async def completed(line: Any) -> Any:
    """The next response, whole."""
    async for event in line:
        assert event.type != "error", event
        if event.type == "response.completed":
            return event.response
    raise AssertionError("it was closed")
