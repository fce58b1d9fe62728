"""Speech through the gateway: bytes as they come, charged by what they are or by what is told."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from metering.money import Credits
from tests.house import Acme, House
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio

TEXT = "The quick brown fox jumps over the lazy dog, and a meter counts its steps."


def speak(acme: Acme, **fields):
    body = {"model": "gpt-4o-mini-tts", "input": TEXT, "voice": "alloy"} | fields
    return acme.house.client.post("/v1/audio/speech", json=body, headers=acme.headers)


async def test_a_model_that_is_billed_by_the_character_is_charged_for_them(house: House):
    """74 characters at $15 per million: exact, and known beforehand."""
    acme = await house.business()

    reply = await speak(acme, model="tts-1")

    assert reply.headers["content-type"] == "audio/mpeg"
    assert reply.headers["x-credits-held"]
    (row,) = await charged_as_billed(acme)
    assert dict(row.usage) == {"characters": len(TEXT)}
    assert row.cost_to_us.pico == len(TEXT) * 15 * 10**6
    assert (row.credits_used, row.estimated) == (row.credits_held, False)


@pytest.mark.parametrize("kind", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
async def test_bytes_are_measured(house: House, kind):
    """Each format by its frames; nobody told us, so it is marked as estimated."""
    acme = await house.business()

    reply = await speak(acme, response_format=kind)

    assert len(reply.content) > 500
    (row,) = await charged_as_billed(acme)
    assert (row.usage_source, row.estimated, row.success) == ("counted", True, True)
    assert row.usage["audio_output"] == house.openai.billed[0].usage["output_tokens"]


async def test_events_tell_what_was_used(house: House):
    """stream_format sse: `speech.audio.done` has the usage."""
    acme = await house.business()

    reply = await speak(acme, stream_format="sse")

    assert "speech.audio.done" in reply.text
    (row,) = await charged_as_billed(acme)
    assert (row.usage_source, row.estimated) == ("reported", False)


async def test_events_without_usage_are_measured_too(house: House):
    """By the sound that the events carry."""
    acme = await house.business()
    house.openai.without_usage()

    await speak(acme, stream_format="sse", response_format="wav")

    (row,) = await charged_as_billed(acme)
    assert row.usage_source == "counted"


async def test_bytes_arrive_as_they_are_made(house: House):
    """The first piece is here while the rest is still being spoken, byte for byte."""
    acme = await house.business()
    gate = asyncio.Semaphore(1)
    house.openai.waits_between_chunks(_Gate(gate))
    body = {"model": "gpt-4o-mini-tts", "input": TEXT, "voice": "alloy", "response_format": "pcm"}

    async with house.client.stream(
        "POST", "/v1/audio/speech", json=body, headers=acme.headers
    ) as reply:
        pieces = reply.aiter_raw()
        first = await anext(pieces)
        for _ in range(1000):
            gate.release()
        rest = b"".join([piece async for piece in pieces])

    assert first == bytes(4096)
    assert len(first + rest) == 48 * (len(TEXT) * 1000 // 15 + 1)
    await charged_as_billed(acme)


class _Gate:
    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self.semaphore = semaphore

    async def wait(self) -> None:
        await self.semaphore.acquire()


async def test_a_caller_that_hangs_up_pays_for_all_of_it(house: House):
    """OpenAI speaks on, and bills it; so the gateway listens to the end."""
    acme = await house.business()
    gate = asyncio.Semaphore(1)
    house.openai.waits_between_chunks(_Gate(gate))
    body = {"model": "gpt-4o-mini-tts", "input": TEXT, "voice": "alloy", "response_format": "wav"}

    async with house.client.stream(
        "POST", "/v1/audio/speech", json=body, headers=acme.headers
    ) as reply:
        await anext(reply.aiter_raw())
    for _ in range(1000):
        gate.release()

    (row,) = await charged_as_billed(acme)
    assert row.usage["audio_output"] == house.openai.billed[0].usage["output_tokens"]


async def test_speech_that_breaks_off_is_cut_without_a_word_of_ours(house: House):
    """An error in the middle of a sound would be a noise: the connection is cut instead."""
    acme = await house.business()
    house.openai.breaks_after(2, billed=False)
    got = b""

    async def hear() -> None:
        nonlocal got
        body = {"model": "gpt-4o-mini-tts", "input": TEXT, "voice": "v", "response_format": "pcm"}
        async with house.client.stream(
            "POST", "/v1/audio/speech", json=body, headers=acme.headers
        ) as reply:
            async for piece in reply.aiter_raw():
                got += piece

    with pytest.raises(httpx2.RemoteProtocolError):
        await hear()

    assert got == bytes(2 * 4096)
    (row,) = await acme.transactions()
    assert not row.success
    assert row.usage["audio_output"] == -(-(2 * 4096 // 48 + 1) * 1250 // 60000)


async def test_the_worst_case_is_covered_by_the_hold(house: House):
    """The slowest that anybody is known to read."""
    acme = await house.business()
    house.openai.worst_case()

    await speak(acme, stream_format="sse", speed=0.5, instructions="Take your time.")

    (row,) = await charged_as_billed(acme)
    assert row.credits_used <= row.credits_held


async def test_an_error_of_openai_costs_nothing(house: House):
    """It is JSON, and passed on."""
    acme = await house.business()
    house.openai.fails(500)

    reply = await speak(acme)

    assert reply.status_code == 500
    (row,) = await charged_as_billed(acme)
    assert row.credits_used == Credits(0)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"voice": {"id": "voice_1"}}, "cost_not_bounded"),
        ({"voice": "voice_1"}, "cost_not_bounded"),
        ({"turbo": True}, "cost_not_bounded"),
        ({"input": "x" * 4097}, "invalid_body"),
        ({"speed": 0.1}, "invalid_body"),
        ({"model": "gpt-image-2"}, "model_not_priced"),
    ],
)
async def test_what_is_not_bounded_is_refused(house: House, fields, code):
    """And nothing is forwarded."""
    acme = await house.business()

    reply = await speak(acme, **fields)

    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == code
    assert house.openai.requests == []
