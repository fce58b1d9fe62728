"""Sound: what is told of it, and that no call can be billed more than its ceiling."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from gateway.dev import stub_audio, stub_sounds
from metering.audio.speech_reply import SpeechReader, audio_tokens
from metering.audio.transcription_reply import Heard, TranscriptionReader
from metering.audio.transcription_usage import read_usage
from metering.call import Call, UploadedFile
from metering.meters.speech import Speech
from metering.meters.transcriptions import Transcriptions
from metering.usage import Unit, Usage
from tests.media import CARD, ROWS

TOKENS = ROWS["gpt-4o-transcribe"].tiers["default"]
TIME = ROWS["whisper-1"].tiers["default"]

USAGES: list[tuple[dict[str, Any], Any, dict[str, int] | None, list[str]]] = [
    ({"type": "duration", "seconds": 9}, TIME, {"audio_milliseconds": 9000}, []),
    ({"type": "duration", "seconds": 0.0005}, TIME, {"audio_milliseconds": 1}, []),
    ({"type": "duration", "seconds": 8.2999}, TIME, {"audio_milliseconds": 8300}, []),
    ({"type": "duration", "seconds": 0}, TIME, {}, []),
    ({"type": "duration", "seconds": -1}, TIME, None, ["usage_not_understood"]),
    ({"type": "duration", "seconds": 10**8}, TIME, None, ["usage_not_understood"]),
    ({"type": "duration"}, TIME, None, ["usage_not_understood"]),
    ({"type": "duration", "seconds": 9}, TOKENS, None, ["usage_in_other_units"]),
    (
        {
            "type": "tokens",
            "input_tokens": 110,
            "output_tokens": 25,
            "input_token_details": {"text_tokens": 10, "audio_tokens": 100},
        },
        TOKENS,
        {"input": 10, "audio_input": 100, "output": 25},
        [],
    ),
    (
        {"type": "tokens", "input_tokens": 110, "output_tokens": 25},
        TOKENS,
        {"audio_input": 110, "output": 25},
        [],
    ),
    (
        {
            "type": "tokens",
            "input_tokens": 110,
            "output_tokens": 25,
            "input_token_details": {"text_tokens": 11, "audio_tokens": 100},
        },
        TOKENS,
        {"audio_input": 110, "output": 25},
        ["usage_details_do_not_add_up"],
    ),
    (
        {"type": "tokens", "input_tokens": 1, "output_tokens": 1},
        TIME,
        None,
        ["usage_in_other_units"],
    ),
    (
        {"type": "tokens", "input_tokens": 1.5, "output_tokens": 1},
        TOKENS,
        None,
        ["usage_not_understood"],
    ),
]


@pytest.mark.parametrize(("reported", "priced", "units", "flags"), USAGES)
def test_usage_counts_each_thing_once(reported, priced, units, flags):
    """Worked out by hand: seconds upward to the millisecond, each token in one unit."""
    flagged: list[str] = []

    usage = read_usage(msgspec.json.encode(reported), flagged, priced=priced)

    assert usage == (None if units is None else Usage.from_names(units))
    assert flagged == flags


def test_seconds_are_read_as_they_are_written():
    """0.3 is three tenths: as a float it would be a millisecond more."""
    usage = read_usage(b'{"type":"duration","seconds":0.3}', [], priced=TIME)

    assert usage == Usage({Unit.AUDIO_MILLISECONDS: 300})
    assert Decimal(0.3) * 1000 != 300


@pytest.mark.parametrize(("ms", "tokens"), [(0, 0), (1, 1), (48, 1), (49, 2), (60_000, 1250)])
def test_a_second_of_speech_has_its_tokens(ms, tokens):
    """1,250 a minute, rounded up."""
    assert audio_tokens(ms) == tokens


def uploaded(data: bytes, filename: str = "a") -> UploadedFile:
    return UploadedFile(
        "file", filename, "", len(data), data[:4096], lambda at, most: data[at : at + most]
    )


def transcription(model: str, fields: dict[str, Any], data: bytes) -> Call:
    fields = {"model": model} | fields
    file = uploaded(data)
    return Call("audio.transcriptions", model, fields, False, len(data), files=(file,))


def a_sound(chosen: random.Random) -> bytes:
    kind = chosen.choice(["wav", "mp3", "aac", "opus", "noise", "lie"])
    if kind == "noise":
        return chosen.randbytes(chosen.randint(0, 60_000))
    if kind == "wav":
        return stub_sounds.wav(chosen.randint(0, 3_000), rate=chosen.choice([8_000, 24_000]))
    if kind == "lie":
        # Its header says that far more is played in a second.
        sound = bytearray(stub_sounds.wav(3_000))
        sound[28:32] = chosen.randbytes(4)
        return bytes(sound)
    return stub_sounds.speech(kind, chosen.randint(1, 20_000))[0]


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe"])
def test_no_transcription_is_billed_above_its_ceiling(model):
    """1,000 sounds: at their length, and at the lowest bit rate, which a header cannot deny."""
    chosen = random.Random(model)
    meter, rate = Transcriptions("transcriptions"), CARD.rate(model)
    for _ in range(1_000):
        data = a_sound(chosen)
        fields: dict[str, Any] = {
            "prompt": "".join(chosen.choices("ab 漢🐈", k=chosen.randint(0, 99)))
        }
        if chosen.random() < 0.3:
            fields["known_speaker_references[]"] = ["data:audio/wav;base64,"] * chosen.randint(1, 4)
        call = transcription(model, fields, data)
        meter.read(call)

        ceiling = rate.ceiling_cost(meter.ceiling(call, ROWS[model], output_limit=0).usage())

        honest = data[:4] == b"RIFF" and stub_audio.length_s(data) == (len(data) - 44) / (
            int.from_bytes(data[24:28], "little") * 2
        )
        for worst in (True, False):
            seconds = stub_audio.length_s(data) if honest else len(data) / 750
            seconds = min(seconds, 1500.0) if model != "whisper-1" else seconds
            bill = stub_audio.transcription_bill(call.fields, "Hi", seconds, worst=worst)
            used = Usage.from_names(stub_audio.transcription_units(bill))
            assert rate.cost(used) <= ceiling, (fields, len(data), bill)


@pytest.mark.parametrize("model", ["tts-1", "gpt-4o-mini-tts"])
def test_no_speech_is_billed_above_its_ceiling(model):
    """1,500 texts in several scripts, at several speeds, at their worst and at their usual."""
    chosen = random.Random(model)
    meter, rate = Speech(), CARD.rate(model)
    for _ in range(1_500):
        fields: dict[str, Any] = {
            "model": model,
            "voice": "alloy",
            "input": "".join(chosen.choices("ab 9,漢Ɛ🐈%", k=chosen.randint(1, 500))),
        }
        if chosen.random() < 0.5:
            fields["instructions"] = "".join(chosen.choices("ab 漢", k=chosen.randint(0, 300)))
        if chosen.random() < 0.5:
            fields["speed"] = chosen.choice([0.25, 0.5, 1, 1.0, 2, 4.0])
        call = Call("audio.speech", model, fields, False, len(msgspec.json.encode(fields)))
        meter.read(call)

        ceiling = rate.ceiling_cost(meter.ceiling(call, ROWS[model], output_limit=0).usage())

        for worst in (True, False):
            speed = fields.get("speed") or 1
            milliseconds = int(len(fields["input"]) * 200 / min(speed, 1))
            bill = stub_audio.speech_bill(fields, milliseconds, worst=worst)
            used = Usage.from_names(stub_audio.speech_units(fields, bill))
            assert rate.cost(used) <= ceiling, (fields, bill)


def test_characters_are_exact():
    """A ceiling that is the bill: letters of every script are one character each."""
    call = Call("audio.speech", "tts-1", {"input": "aƐ漢🐈"}, False, 40)

    most = Speech().ceiling(call, ROWS["tts-1"], output_limit=0)

    assert most.usage() == Usage({Unit.CHARACTERS: 4})


def test_a_model_by_the_character_pays_for_none_that_was_not_spoken():
    """Nothing came: nothing is charged. One byte came: OpenAI bills the whole text."""
    reader = SpeechReader({"input": "hello"}, ROWS["tts-1"])
    reader.expects_bytes("audio/mpeg")
    assert (reader.source, reader.usage()) == ("none", Usage())

    reader.feed(b"\xff")

    assert (reader.source, reader.usage()) == ("reported", Usage({Unit.CHARACTERS: 5}))


@pytest.mark.parametrize(
    ("body", "milliseconds"),
    [
        (b"1\n00:00:01,000 --> 01:02:03,004\nHi\n", 3_724_000),
        (b"WEBVTT\n\n00:00.000 --> 00:07.250\nHi\n", 8_000),
        (b"just words --> and arrows", 3_000),
    ],
)
def test_a_subtitle_says_how_long_it_is_at_least(body, milliseconds):
    """Its last time, up to whole seconds; the sound was measured as 3 s."""
    reader = TranscriptionReader(Heard(3_000, ""), ROWS["whisper-1"])

    reader.feed_json(body)

    assert reader.usage() == Usage({Unit.AUDIO_MILLISECONDS: milliseconds})
    assert reader.source == "counted"


def test_an_error_instead_of_a_text_used_nothing():
    """In JSON as in a stream."""
    whole = TranscriptionReader(Heard(3_000, ""), ROWS["whisper-1"])
    whole.feed_json(b'{"error":{"code":"x"}}')
    stream = TranscriptionReader(Heard(3_000, ""), ROWS["whisper-1"])
    stream.feed(b'data: {"error":{"code":"x"}}\n\n')

    assert [(each.source, each.error) for each in (whole, stream)] == [("none", "x")] * 2
