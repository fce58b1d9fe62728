"""Transcriptions and translations through the gateway: by what is told, else by their sound."""

from __future__ import annotations

import struct

import pytest

from gateway.dev import stub_sounds
from metering.money import Credits
from tests.house import House
from tests.media import send
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio

WAV = ("file", "a.wav", stub_sounds.wav(8_300, rate=8_000))
MP3 = ("file", "a.mp3", stub_sounds.mp3(9_984))


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe"])
@pytest.mark.parametrize("sound", [WAV, MP3])
async def test_json_says_what_was_used(house: House, model, sound):
    """Seconds or tokens, as the model is priced."""
    acme = await house.business()
    house.openai.changes(seconds=9.984 if sound is MP3 else None)

    reply = await send(acme, "/audio/transcriptions", [("model", model), ("prompt", "hi")], [sound])

    assert reply.json()["text"].startswith("Hello")
    (row,) = await charged_as_billed(acme)
    assert (row.usage_source, row.estimated) == ("reported", False)
    assert row.credits_used <= row.credits_held


async def test_a_known_sound_has_a_known_price(house: House):
    """9 seconds of whisper-1 are 900 micro-dollars."""
    acme = await house.business()

    await send(acme, "/audio/transcriptions", [("model", "whisper-1")], [WAV])

    (row,) = await charged_as_billed(acme)
    assert dict(row.usage) == {"audio_milliseconds": 9000}
    assert row.cost_to_us.pico == 900 * 10**6


@pytest.mark.parametrize("kind", ["text", "srt", "vtt"])
@pytest.mark.parametrize("sound", [WAV, MP3])
async def test_what_tells_nothing_is_measured(house: House, kind, sound):
    """Text and subtitles have no usage anywhere: it is the length of the sound, marked so."""
    acme = await house.business()
    house.openai.changes(seconds=9.984 if sound is MP3 else None)
    fields = [("model", "whisper-1"), ("response_format", kind)]

    reply = await send(acme, "/audio/transcriptions", fields, [sound])

    assert "Hello" in reply.text
    assert reply.headers["content-type"].startswith("text/plain")
    (row,) = await charged_as_billed(acme)
    assert (row.usage_source, row.estimated) == ("counted", True)
    assert reply.headers["x-credits-used"] == str(row.credits_used)


async def test_a_subtitle_is_believed_more_than_a_short_header(house: House):
    """A file of which nothing can be read lasts at least until its last subtitle."""
    acme = await house.business()
    house.openai.changes(seconds=42.0)
    fields = [("model", "whisper-1"), ("response_format", "srt")]

    await send(acme, "/audio/transcriptions", fields, [("file", "a.webm", bytes(40_000))])

    (row,) = await charged_as_billed(acme)
    assert dict(row.usage) == {"audio_milliseconds": 42_000}


async def test_a_stream_says_it_with_its_last_event(house: House):
    """`transcript.text.done` has the usage."""
    acme = await house.business()
    fields = [("model", "gpt-4o-transcribe"), ("stream", "true")]

    reply = await send(acme, "/audio/transcriptions", fields, [WAV])

    assert reply.text.count("transcript.text.delta") == 2 * 11
    (row,) = await charged_as_billed(acme)
    assert row.usage_source == "reported"


async def test_a_translation_that_tells_nothing_is_measured(house: House):
    """JSON of a translation has no usage; the verbose one has the duration."""
    acme = await house.business()
    fields = [("model", "whisper-1")]

    await send(acme, "/audio/translations", fields, [WAV])
    await send(acme, "/audio/translations", [*fields, ("response_format", "verbose_json")], [WAV])

    first, second = await acme.transactions()
    assert dict(first.usage) == {"audio_milliseconds": 9000}
    assert (first.usage_source, second.usage_source) == ("counted", "reported")
    assert dict(second.usage) == {"audio_milliseconds": 8300}


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe"])
async def test_the_worst_case_is_covered_by_the_hold(house: House, model):
    """A megabyte at the lowest bit rate is 22 minutes."""
    acme = await house.business(credits="500.00")
    house.openai.worst_case()

    await send(
        acme, "/audio/transcriptions", [("model", model)], [("file", "a.ogg", bytes(1_000_000))]
    )

    (row,) = await charged_as_billed(acme)
    assert row.credits_used <= row.credits_held


async def test_a_header_that_lies_does_not_lower_the_hold(house: House):
    """A WAV that says it plays a gigabyte in a second is held for as any file of its bytes."""
    acme = await house.business(credits="500.00")
    lie = bytearray(stub_sounds.wav(10_000))
    struct.pack_into("<I", lie, 28, 10**9)
    fields = [("model", "whisper-1"), ("response_format", "text")]

    await send(acme, "/audio/transcriptions", fields, [("file", "a.wav", bytes(lie))])
    await send(acme, "/audio/transcriptions", fields, [("file", "a.wav", stub_sounds.wav(10_000))])

    lied, honest = await acme.transactions()
    assert lied.credits_held > honest.credits_held


async def test_an_error_of_openai_costs_nothing(house: House):
    """Such as a sound that cannot be decoded."""
    acme = await house.business()
    house.openai.fails(400)

    await send(acme, "/audio/transcriptions", [("model", "whisper-1")], [WAV])

    (row,) = await charged_as_billed(acme)
    assert row.credits_used == Credits(0)


@pytest.mark.parametrize(
    ("fields", "files"),
    [
        ([("model", "whisper-1"), ("speed_up", "2")], [WAV]),
        ([("model", "whisper-1"), ("stream", "True")], [WAV]),
        ([("model", "whisper-1"), ("response_format", "docx")], [WAV]),
        ([("model", "whisper-1"), ("known_speaker_references[]", "https://x/y")], [WAV]),
        ([("model", "whisper-1"), ("url", "https://x/y")], []),
        ([("model", "whisper-1")], []),
        ([("model", "whisper-1")], [WAV, WAV]),
        ([("model", "whisper-1")], [("sound", "a.wav", b"")]),
        ([("model", "gpt-image-2")], [WAV]),
    ],
)
async def test_what_is_not_bounded_is_refused(house: House, fields, files):
    """And nothing is forwarded or held."""
    acme = await house.business()

    reply = await send(acme, "/audio/transcriptions", fields, files)

    assert reply.status_code == 400
    assert reply.json()["error"]["param"]
    assert house.openai.requests == []
    assert await acme.transactions() == []
