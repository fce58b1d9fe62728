"""Streams of pictures and sound: the usage is the same wherever a stream is split."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from metering.audio.speech_reply import SpeechReader
from metering.audio.transcription_reply import Heard, TranscriptionReader
from metering.base64_runs import LONGEST_RUN, WithoutBase64
from metering.images.fields import Wanted
from metering.images.reply import ImagesReader
from metering.usage import Unit, Usage
from tests.media import ROWS

RECORDED = Path(__file__).parents[1] / "recorded"

# What the call asked for; of the streams without usage it is what is counted.
WANTED = Wanted(prompt="a cat", n=1, size="auto", quality="auto", partial_images=3, input_images=1)
PROMPT = Usage({Unit.INPUT: 2})


def image() -> ImagesReader:
    return ImagesReader(WANTED, ROWS["gpt-image-1.5"])


def speech() -> SpeechReader:
    fields = {"input": "a cat", "response_format": "pcm"}
    return SpeechReader(fields, ROWS["gpt-4o-mini-tts"])


def transcript() -> TranscriptionReader:
    return TranscriptionReader(Heard(3_000, "a cat"), ROWS["gpt-4o-transcribe"])


def counted(**units: int) -> tuple[str, Usage]:
    return "counted", Usage.from_names(units)


def reported(**units: int) -> tuple[str, Usage]:
    return "reported", Usage.from_names(units)


STREAMS: dict[str, tuple[Callable[[], Any], tuple[str, Usage]]] = {
    # Its input is of no named picture but the details say 0.
    "image_stream": (image, reported(input=5, image_output=1356)),
    "image_stream_usage_first": (image, reported(input=5, image_output=1356)),
    "image_edit_stream": (
        image,
        reported(input=20, image_input=524, output=100, image_output=1256),
    ),
    # One picture of 1024x1024 at medium quality has 1056 tokens.
    "image_stream_without_usage": (image, counted(input=2, image_output=1056)),
    # It was made to its end, at the dearest that auto may be, and two partial ones were sent.
    "image_stream_interrupted": (image, counted(input=2, image_output=6240 + 0 + 200)),
    "image_stream_error": (image, counted(input=2, image_output=6240 + 100)),
    "speech_stream": (speech, reported(input=14, audio_output=101)),
    # 960 bytes of PCM are 20 ms, which is a token when rounded up.
    "speech_stream_interrupted": (speech, counted(input=2, audio_output=1)),
    "transcript_stream": (transcript, reported(input=10, audio_input=100, output=25)),
    "transcript_stream_crlf": (transcript, reported(input=10, audio_input=100, output=25)),
    # Seconds have no price here: 3 s of sound at 10 tokens, and the text.
    "transcript_stream_diarized": (transcript, counted(input=2, audio_input=30, output=1)),
    "transcript_stream_interrupted": (transcript, counted(input=2, audio_input=30, output=2)),
}


def read(reader: Any, pieces: Iterable[bytes]) -> tuple[str, Usage]:
    for piece in pieces:
        assert reader.feed(piece) is piece, "every byte is passed on at once"
    assert reader.finish() == b""
    return reader.source, reader.usage()


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_is_read_alike_wherever_it_is_split(name: str) -> None:
    """At each byte, and byte by byte: the figures worked out by hand."""
    stream = (RECORDED / f"{name}.sse").read_bytes()
    reader, expected = STREAMS[name]

    for at in range(len(stream) + 1):
        assert read(reader(), (stream[:at], stream[at:])) == expected, at
    assert read(reader(), (stream[at : at + 1] for at in range(len(stream)))) == expected


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_is_cut_anywhere_is_not_free_once_something_was_seen(name: str) -> None:
    """Cut at each byte: never an error, and what was seen is counted."""
    stream = (RECORDED / f"{name}.sse").read_bytes()
    make, _ = STREAMS[name]

    for at in range(len(stream)):
        reader = make()
        source, usage = read(reader, (stream[:at],))
        assert (source == "none") == (not usage)
        assert reader.so_far() >= 0


def test_an_error_is_named_by_its_code() -> None:
    """Its text stays with the caller: it may quote the prompt."""
    reader = image()
    read(reader, [(RECORDED / "image_stream_error.sse").read_bytes()])

    assert reader.error == "moderation_blocked"


def test_a_picture_of_20_mb_leaves_the_memory_free() -> None:
    """Its event is far longer than any event may be; the usage behind it is found."""
    picture = base64.b64encode(bytes(20_000_000))
    head = b'event: x\ndata: {"type":"image_generation.completed","b64_json":"'
    tail = b'","usage":{"input_tokens":1,"output_tokens":2}}\n\n'
    stream = head + picture + tail
    reader = ImagesReader(Wanted("p", 1, "auto", "auto", 0, 0), ROWS["gpt-image-1.5"])

    for at in range(0, len(stream), 16_384):
        reader.feed(stream[at : at + 16_384])
        assert len(reader._events) < 10_000
    reader.finish()

    assert (reader.source, reader.flagged) == ("reported", [])
    assert dict(reader.usage().items()) == {Unit.INPUT: 1, Unit.IMAGE_OUTPUT: 2}


def test_only_long_runs_are_left_out() -> None:
    """Whatever the splits; a run of as many letters as may be stays."""
    stays, goes = b"a" * LONGEST_RUN, b"b" * (LONGEST_RUN + 1)
    text = b'{"x":"' + stays + b'","y":"' + goes + b'","z":"' + goes + goes + b'"} ' + stays

    for size in (1, 2, 3, 100, 511, 512, 513, 514, 10_000):
        short = WithoutBase64()
        left = b"".join(short.feed(text[at : at + size]) for at in range(0, len(text), size))
        left += short.finish()
        assert left == b'{"x":"' + stays + b'","y":"","z":""} ' + stays
        assert short.left_out == 3 * len(goes)
