"""Images and speech in chat completions, through the official client."""

from __future__ import annotations

import asyncio
import base64

import pytest

from tests.metering.chat.parts import image, speech, text, user, wav
from tests.rows import SENSES, TEXT, TIERED, a_row, add_rows, charged_by_unit

pytestmark = pytest.mark.anyio

MODEL = a_row("gpt-audio-all", "chat", TEXT | SENSES)


async def test_a_client_shows_an_image_and_gets_its_answer(house, sync, door):
    """As OpenAI's guide writes it: a data URL."""
    add_rows(house, MODEL)
    acme = await house.business()
    house.openai.says("A cat.")
    create = sync(acme.key).chat.completions.with_raw_response.create

    raw = await asyncio.to_thread(create, model=MODEL.id, messages=user(text(), image()))

    reply = raw.parse()
    assert reply.choices[0].message.content == "A cat."
    assert reply.usage.prompt_tokens_details.image_tokens == 765
    assert door == ["POST /v1/chat/completions"]
    (row,) = await charged_by_unit(acme)
    assert raw.headers["x-credits-used"] == str(row.credits_used)
    assert row.usage["image_input"] == 765


async def test_a_client_speaks_and_is_spoken_to(house, asynchronous):
    """Speech in and out; the reply's bytes are OpenAI's."""
    add_rows(house, MODEL)
    acme = await house.business()
    house.openai.says("Akwaaba!")

    async with asynchronous(acme.key) as client:
        reply = await client.chat.completions.create(
            model=MODEL.id,
            messages=user(text(), speech(wav(2))),
            modalities=["text", "audio"],
            audio={"voice": "alloy", "format": "wav"},
        )

    spoken = reply.choices[0].message.audio
    assert spoken is not None
    assert spoken.transcript == "Akwaaba!"
    assert base64.b64decode(spoken.data) == b"\0" * 192
    (row,) = await charged_by_unit(acme)
    assert (row.usage["audio_input"], row.usage["audio_output"]) == (20, 40)


async def test_a_client_hears_a_stream(house, asynchronous):
    """Chunk by chunk, and without the usage that it did not ask for."""
    add_rows(house, MODEL)
    acme = await house.business()
    house.openai.streams("Akwaaba", ", ", "how are you?")

    async with asynchronous(acme.key) as client:
        stream = await client.chat.completions.create(
            model=MODEL.id,
            messages=user(text()),
            modalities=["text", "audio"],
            audio={"voice": "alloy", "format": "pcm16"},
            stream=True,
        )
        deltas = [chunk.choices[0].delta async for chunk in stream]

    spoken = [delta.audio.transcript for delta in deltas if delta.audio]
    assert "".join(spoken) == "Akwaaba, how are you?"
    (row,) = await charged_by_unit(acme)
    assert row.usage["audio_output"] == 40


async def test_a_client_asks_for_a_cheaper_tier(house, sync):
    """The reply names it, and so does the price version of the row."""
    add_rows(house, TIERED)
    acme = await house.business()
    create = sync(acme.key).chat.completions.create

    reply = await asyncio.to_thread(
        create, model=TIERED.id, messages=user(text()), service_tier="flex"
    )

    assert reply.service_tier == "flex"
    (row,) = await charged_by_unit(acme)
    assert row.price_version.endswith(":flex")
