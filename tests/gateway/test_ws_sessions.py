"""What a realtime session may be told, and what it is charged for besides its responses."""

from __future__ import annotations

import pytest

from gateway.dev.stub_gates import Turnstile
from metering.money import Credits
from tests.gateway.ws_caller import REALTIME, SECOND, charged_is_billed, line, price_of, switch_on
from tests.house import House

pytestmark = pytest.mark.anyio

PATH = f"/v1/realtime?model={REALTIME}"
PIXEL = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture(autouse=True)
def _switched_on(house: House) -> None:
    switch_on(house, "realtime")


def message(*content: dict) -> dict:
    return {"type": "message", "role": "user", "content": list(content)}


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("session.update", {"session": {"model": "gpt-realtime-2"}}, "invalid_request"),
        ("session.update", {"session": {"type": "transcription"}}, "cost_not_bounded"),
        ("session.update", {"session": {"prompt": {"id": "pmpt_1"}}}, "cost_not_bounded"),
        ("session.update", {"session": {"tools": [{"type": "mcp"}]}}, "cost_not_bounded"),
        ("session.update", {"session": {"tools": [{"type": "web_search"}]}}, "cost_not_bounded"),
        ("session.update", {"session": {"voice": {"id": "voice_1"}}}, "cost_not_bounded"),
        ("session.update", {"session": {"client_secret": {}}}, "cost_not_bounded"),
        ("session.update", {"session": {"max_output_tokens": 0}}, "invalid_body"),
        ("session.update", {}, "invalid_request"),
        (
            "session.update",
            {"session": {"audio": {"input": {"transcription": {"model": "whisper-unknown"}}}}},
            "model_not_priced",
        ),
        (
            "session.update",
            {"session": {"input_audio_transcription": {"language": "en"}}},
            "cost_not_bounded",
        ),
        ("transcription_session.update", {"session": {}}, "cost_not_bounded"),
        ("response.create", {"response": {"prompt": {"id": "pmpt_1"}}}, "cost_not_bounded"),
        ("response.create", {"response": {"tools": [{"type": "mcp"}]}}, "cost_not_bounded"),
        ("response.create", {"response": {"max_output_tokens": True}}, "invalid_body"),
        (
            "conversation.item.create",
            {"item": message({"type": "input_image", "image_url": "https://example.com/a.png"})},
            "cost_not_bounded",
        ),
        ("conversation.item.create", {"item": {"type": "mcp_call"}}, "cost_not_bounded"),
        ("conversation.item.create", {"item": message({"type": "input_file"})}, "cost_not_bounded"),
    ],
)
async def test_what_would_not_be_bounded_is_refused(house: House, kind, fields, code) -> None:
    """An `error` event names the frame; nothing of it goes on, and the session does."""
    acme = await house.business()

    async with line(house, PATH, acme.key) as caller:
        await caller.until("session.created")
        await caller.say(kind, event_id="mine", **fields)
        told = await caller.until("error")
        await caller.say("response.create")
        await caller.until("response.done")

    assert (told["error"]["code"], told["error"]["event_id"]) == (code, "mine")
    kinds = [frame["type"] for frame in (await house.openai.socket()).frames]
    assert kinds == ["response.create"]
    await charged_is_billed(house, acme)


async def test_a_session_without_a_limit_gets_one(house: House) -> None:
    """`inf` would be as much as the model gives; the default is written into it."""
    acme = await house.business()

    async with line(house, PATH, acme.key) as caller:
        await caller.say("session.update", session={"max_output_tokens": "inf"})
        first = await caller.until("session.updated")
        await caller.say("session.update", session={"max_output_tokens": 64})
        second = await caller.until("session.updated")
        await caller.say("response.create")
        await caller.until("response.done")

    frames = (await house.openai.socket()).frames
    assert first["session"]["max_output_tokens"] == 4096
    assert second["session"]["max_output_tokens"] == 64
    assert frames[-1]["response"]["max_output_tokens"] == 64


async def test_the_dearest_answer_that_a_limit_allows_is_held(house: House) -> None:
    """OpenAI speaks as long as it may: the hold covers it, and the charge is the bill."""
    acme = await house.business()
    house.openai.worst_case()

    async with line(house, PATH, acme.key) as caller:
        await caller.until("session.created")
        for _ in range(2):
            await caller.say("input_audio_buffer.append", audio=SECOND)
            await caller.until("response.done")
        await caller.say("response.create", response={"max_output_tokens": 1000})
        await caller.until("response.done")

    for row in await acme.transactions():
        assert row.credits_used <= row.credits_held
    await charged_is_billed(house, acme)


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-mini-transcribe"])
async def test_what_is_written_down_is_charged_for_itself(house: House, model: str) -> None:
    """One row for each item that another model wrote down, by its own price."""
    acme = await house.business()
    audio = {"input": {"transcription": {"model": model}}}

    async with line(house, PATH, acme.key) as caller:
        await caller.say("session.update", session={"type": "realtime", "audio": audio})
        await caller.until("session.updated")
        for _ in range(2):
            await caller.say("input_audio_buffer.append", audio=SECOND)
            await caller.until("conversation.item.input_audio_transcription.completed")
            await caller.until("response.done")

    rows = [row for row in await acme.transactions() if row.outcome == "settled"]
    assert sorted(row.model for row in rows) == sorted([REALTIME, REALTIME, model, model])
    await charged_is_billed(house, acme)


async def test_without_turn_detection_nothing_is_kept_ready(house: House) -> None:
    """Then only what is asked for is held."""
    acme = await house.business()
    audio = {"input": {"turn_detection": None}}

    async with line(house, PATH, acme.key) as caller:
        await caller.say("input_audio_buffer.append", audio=SECOND[:100])
        await caller.say("session.update", session={"audio": audio})
        await caller.until("session.updated")
        assert await acme.held() == Credits(0)
        await caller.say("input_audio_buffer.append", audio=SECOND)
        await caller.say("input_audio_buffer.commit")
        await caller.until("input_audio_buffer.committed")
        assert await acme.held() == Credits(0)
        await caller.say("response.create")
        await caller.until("response.done")

    await charged_is_billed(house, acme)


async def test_an_image_is_bounded_by_all_that_the_model_reads(house: House) -> None:
    """Its bytes do not tell its tokens."""
    acme = await house.business()
    gate = Turnstile()
    house.openai.changes(before_usage=gate)

    async with line(house, PATH, acme.key) as caller:
        image = {"type": "input_image", "image_url": PIXEL}
        await caller.say("conversation.item.create", item=message(image))
        await caller.until("conversation.item.added")
        await caller.say("response.create")
        await caller.until("response.created")
        with_image = await acme.held()
        gate.lets_through()
        await caller.until("response.done")
    async with line(house, PATH, acme.key) as caller:
        await caller.say("response.create")
        await caller.until("response.created")
        without = await acme.held()
        gate.lets_through()
        await caller.until("response.done")

    assert with_image > without + without + without


async def test_a_create_that_openai_refuses_costs_nothing(house: House) -> None:
    """Its `error` event names the frame, and the hold of that frame returns."""
    acme = await house.business()
    house.openai.fails(400, code="conversation_already_has_active_response", times=1)

    async with line(house, PATH, acme.key) as caller:
        await caller.say("response.create", event_id="mine")
        told = await caller.until("error")
        await caller.say("response.create")
        await caller.until("response.done")

    assert told["error"]["event_id"] == "mine"
    outcomes = [(row.outcome, row.http_status) for row in await acme.transactions()]
    assert outcomes == [("released", 400), ("settled", 200)]
    assert price_of(house, house.openai.billed[0]) > Credits(0)
    await charged_is_billed(house, acme)
