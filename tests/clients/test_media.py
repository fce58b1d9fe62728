"""Pictures and sound through the official client; it is charged what OpenAI billed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.dev import stub_sounds
from tests.house import House
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio

WAV = ("hello.wav", stub_sounds.wav(3_000))
PNG = ("cat.png", b"\x89PNG" + bytes(900), "image/png")


async def test_a_picture_is_made(house: House, sync):
    """The usage of the reply is that of the row."""
    acme = await house.business()
    images = sync(acme.key).images

    reply = await asyncio.to_thread(
        images.generate, model="gpt-image-2", prompt="a cat", n=2, quality="low", size="1024x1024"
    )

    assert len(reply.data) == 2
    (row,) = await charged_as_billed(acme)
    assert reply.usage.output_tokens == row.usage["image_output"] == 2 * 196


async def test_a_picture_is_streamed(house: House, asynchronous):
    """Partial ones first; the last event has the usage."""
    acme = await house.business()
    kinds: list[str] = []

    async with asynchronous(acme.key) as client:
        stream = await client.images.generate(
            model="gpt-image-1.5", prompt="a cat", stream=True, partial_images=2
        )
        async for event in stream:
            kinds.append(event.type)

    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    await charged_as_billed(acme)


@pytest.mark.parametrize("image", [PNG, [PNG, PNG]], ids=["one", "two"])
async def test_pictures_are_changed(house: House, sync, image: Any):
    """`image` once, or as `image[]`, with a mask."""
    acme = await house.business()
    images = sync(acme.key).images

    reply = await asyncio.to_thread(
        images.edit,
        model="gpt-image-1.5",
        image=image,
        mask=PNG,
        prompt="wider",
        input_fidelity="high",
        quality="low",
        n=1,
        output_compression=50,
    )

    assert reply.data[0].b64_json
    (row,) = await charged_as_billed(acme)
    assert row.usage["image_input"] == 194 * (3 if isinstance(image, list) else 2)


async def test_a_change_is_streamed(house: House, asynchronous):
    """`stream` goes in a part of the body."""
    acme = await house.business()

    async with asynchronous(acme.key) as client:
        stream = await client.images.edit(
            model="gpt-image-2", image=PNG, prompt="wider", stream=True, partial_images=1
        )
        kinds = [event.type async for event in stream]

    assert kinds == ["image_edit.partial_image", "image_edit.completed"]
    await charged_as_billed(acme)


@pytest.mark.parametrize("kind", ["mp3", "wav", "opus"])
async def test_a_text_is_spoken(house: House, sync, kind):
    """All of it at once."""
    acme = await house.business()
    speech = sync(acme.key).audio.speech

    reply = await asyncio.to_thread(
        speech.create,
        model="gpt-4o-mini-tts",
        input="Akwaaba, and good evening to everybody.",
        voice="alloy",
        instructions="Warmly.",
        response_format=kind,
    )

    assert len(reply.content) > 500
    await charged_as_billed(acme)


async def test_speech_is_streamed_to_a_file(house: House, sync, tmp_path):
    """with_streaming_response, as OpenAI's guide shows it."""
    acme = await house.business()
    speech = sync(acme.key).audio.speech.with_streaming_response

    def into(path) -> None:
        with speech.create(model="tts-1", input="Akwaaba", voice="nova") as reply:
            reply.stream_to_file(path)

    await asyncio.to_thread(into, tmp_path / "a.mp3")

    assert (tmp_path / "a.mp3").read_bytes() == stub_sounds.mp3(7 * 1000 // 15 + 1)
    (row,) = await charged_as_billed(acme)
    assert dict(row.usage) == {"characters": 7}


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe"])
async def test_a_sound_is_written_down(house: House, sync, model):
    """JSON, with its usage."""
    acme = await house.business()
    transcriptions = sync(acme.key).audio.transcriptions

    reply = await asyncio.to_thread(
        transcriptions.create,
        model=model,
        file=WAV,
        prompt="a greeting",
        language="en",
        temperature=0,
        include=["logprobs"],
    )

    assert reply.text.startswith("Hello")
    assert reply.usage.type == ("duration" if model == "whisper-1" else "tokens")
    await charged_as_billed(acme)


@pytest.mark.parametrize("kind", ["text", "srt", "vtt"])
async def test_a_sound_becomes_text_or_subtitles(house: House, sync, kind):
    """They say nothing of their usage; the sound does."""
    acme = await house.business()
    transcriptions = sync(acme.key).audio.transcriptions

    reply = await asyncio.to_thread(
        transcriptions.create, model="whisper-1", file=WAV, response_format=kind
    )

    assert "Hello" in reply
    (row,) = await charged_as_billed(acme)
    assert dict(row.usage) == {"audio_milliseconds": 3000}


async def test_a_verbose_answer_has_words(house: House, sync):
    """Lists go as `timestamp_granularities[]`."""
    acme = await house.business()
    transcriptions = sync(acme.key).audio.transcriptions

    reply = await asyncio.to_thread(
        transcriptions.create,
        model="whisper-1",
        file=WAV,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )

    assert reply.duration == 3.0
    await charged_as_billed(acme)


async def test_a_transcription_is_streamed(house: House, asynchronous):
    """The last event has the usage."""
    acme = await house.business()

    async with asynchronous(acme.key) as client:
        stream = await client.audio.transcriptions.create(
            model="gpt-4o-transcribe",
            file=WAV,
            stream=True,
            chunking_strategy={"type": "server_vad", "silence_duration_ms": 200},
        )
        kinds = {event.type async for event in stream}

    assert kinds == {"transcript.text.delta", "transcript.text.done"}
    (row,) = await charged_as_billed(acme)
    assert row.usage_source == "reported"


async def test_a_sound_is_translated(house: House, sync):
    """Its JSON has no usage."""
    acme = await house.business()
    translations = sync(acme.key).audio.translations

    reply = await asyncio.to_thread(translations.create, model="whisper-1", file=WAV)

    assert reply.text.startswith("Hello")
    (row,) = await charged_as_billed(acme)
    assert dict(row.usage) == {"audio_milliseconds": 3000}
