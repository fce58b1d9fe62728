"""Whatever a caller sends over a websocket: nothing breaks, and nothing goes on unmetered."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.gateway.ws_caller import REALTIME, Line, charged_is_billed, line, switch_on
from tests.house import MODEL, House

pytestmark = pytest.mark.anyio

FRAMES = 2500
TYPES = (
    "response.create", "response.cancel", "response.steer", "session.update",
    "conversation.item.create", "conversation.item.delete",
    "input_audio_buffer.append", "input_audio_buffer.commit",
    "transcription_session.update", "session.close", "", "response.create ", "RESPONSE.CREATE",
    "response.inject", "input_text.append", "error",
)  # fmt: skip
KEYS = (
    "model", "input", "instructions", "response", "session", "item", "audio", "tools", "prompt",
    "max_output_tokens", "background", "store", "conversation", "previous_response_id", "stream",
    "service_tier", "event_id", "type", "turn_detection", "include", "metadata", "unknown_field",
    "stream_id", "generate", "output_modalities", "reasoning", "truncation", "input_image",
)  # fmt: skip
SERVED = {
    "responses": {"response.create"},
    "realtime": {
        "response.create", "response.cancel", "session.update", "conversation.item.create",
        "conversation.item.delete", "input_audio_buffer.append", "input_audio_buffer.commit",
    },
}  # fmt: skip


WELL_FORMED = (
    json.dumps({"type": "response.create", "model": MODEL, "input": "Hello"}),
    json.dumps({"type": "response.create"}),
)


def value(chance: random.Random, depth: int = 0) -> Any:
    """Anything that JSON can say."""
    kinds = 11 if depth < 4 else 8
    match chance.randrange(kinds):
        case 0:
            return None
        case 1:
            return chance.choice([True, False])
        case 2:
            return chance.choice([0, 1, -1, 2**63, 2**80, 10**30, 4096])
        case 3:
            return chance.choice([0.5, -1.5, 1e308])
        case 4:
            return chance.choice(["", "a", MODEL, "inf", "mcp", "data:,", "\x00", "é" * 50])
        case 5 | 6 | 7:
            return chance.choice(KEYS)
        case 8:
            return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice(KEYS): value(chance, depth + 1) for _ in range(chance.randrange(5))}


def frame(chance: random.Random) -> str | bytes:
    """A frame as no client sends it."""
    text = json.dumps({"type": chance.choice(TYPES)} | dict(value_items(chance)))
    match chance.randrange(12):
        case 0:
            return text[: chance.randrange(len(text))]
        case 1:
            return chance.randbytes(chance.randrange(200))
        case 2:
            return text.encode()
        case 3:
            return "[" * chance.choice([10, 100_000])
        case 4:
            return json.dumps(value(chance))
        case 5:
            return '{"type":"response.create","type":"nothing",' + text[1:]
        case 6:
            return text + text
        case 7:
            return text.replace('"', "'")
        case 8:
            return chance.choice(WELL_FORMED)
    return text


def value_items(chance: random.Random) -> list[tuple[str, Any]]:
    """Some fields."""
    return [(chance.choice(KEYS), value(chance)) for _ in range(chance.randrange(6))]


@pytest.mark.parametrize("name", ["responses", "realtime"])
async def test_no_frame_breaks_a_websocket_or_goes_on_unmetered(house: House, name: str) -> None:
    """2,500 frames each: every one is answered, by an event or by what OpenAI says to it."""
    switch_on(house, "realtime")
    acme = await house.business("1000000.00")
    path = f"/v1/realtime?model={REALTIME}" if name == "realtime" else "/v1/responses"
    chance = random.Random(name)
    sent = 0

    while sent < FRAMES:
        async with line(house, path, acme.key) as caller:
            sent += await _pester(caller, chance, FRAMES - sent)

    assert house.openai.billed
    for socket in house.openai.sockets:
        assert {one["type"] for one in socket.frames} <= SERVED[name]
        for one in socket.of_type("response.create"):
            asked = one["response"] if name == "realtime" else one
            assert isinstance(asked["max_output_tokens"], int)
    await charged_is_billed(house, acme)
    rows = await acme.transactions()
    made = sum(len(socket.of_type("response.create")) for socket in house.openai.sockets)
    assert len(rows) >= made


async def _pester(caller: Line, chance: random.Random, most: int) -> int:
    """Send frames until the websocket is closed; how many."""
    sent = 0
    while sent < most:
        for _ in range(min(50, most - sent)):
            await caller.socket.send(frame(chance))
            sent += 1
        # A word at the end that is always answered, so that all before it have been read.
        await caller.say("the.end", event_id=f"end {sent}")
        while True:
            event = await caller.event()
            if event["type"] == "error" and event["error"].get("event_id") == f"end {sent}":
                break
    return sent
