"""Speech is bounded by its length in time, as its own format tells it."""

from __future__ import annotations

import base64

import pytest

from metering.chat.audio import audio_tokens, is_bounded
from tests.metering.chat.parts import mp3, speech, wav

ID3 = b"ID3\x04\0\0\0\0\x02\x00"  # A tag of 256 bytes.
MP3_8K = mp3(100, header=b"\xff\xe3\x18\x00", length=72)  # MPEG-2.5, 8 kbit/s: 72 ms each.


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        # 20 tokens a second, and the 44 bytes of the header are taken for samples too.
        (wav(1), 21),
        (wav(10), 201),
        (wav(10, rate=44_100, channels=2), 201),
        (wav(2, bits=8, rate=8_000), 41),
        (wav(2, bits=32, kind=3), 41),
        # 100 frames of 26.12 ms are 52.2 tokens; one more for what is cut off.
        (mp3(100), 53),
        (ID3 + b"\0" * 256 + mp3(100), 53),
        (mp3(100) + b"TAG" + b"\0" * 125, 53 + 128 // 9),
        (MP3_8K, 145),
    ],
)
def test_length_in_time_is_what_counts(data: bytes, tokens: int) -> None:
    """Twice what OpenAI documents, never more than the bytes."""
    audio = speech(data)["input_audio"]

    assert is_bounded(audio)
    assert audio_tokens(audio) == tokens <= len(audio["data"])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"OggS" + b"\0" * 100,
        b"fLaC" + b"\0" * 100,
        ID3 + b"\0" * 256 + b"fLaC",
        wav(1, rate=1),  # A second for each two bytes.
        wav(1, kind=0x55),  # MP3 in a WAV.
        wav(1, kind=2),
        wav(1, channels=0, bits=8),
        wav(1)[:30],
        b"\xff\xf1\x50\x80" + b"\0" * 100,  # AAC.
        b"\xff\xfb\x00\x00" + b"\0" * 100,  # MP3 that does not say how many bits.
    ],
)
def test_what_does_not_say_how_long_it_is_is_not_bounded(data: bytes) -> None:
    """A format that packs hours into few bytes must not pass for one that does not."""
    assert not is_bounded(speech(data)["input_audio"])


def test_what_is_no_base64_is_not_bounded() -> None:
    """OpenAI may read it all the same."""
    good = base64.b64encode(wav(1)).decode()

    assert not is_bounded({"data": "*" + good})
    assert is_bounded({"data": good})


def test_long_tag_is_skipped() -> None:
    """Music comes with a picture of its cover."""
    for size in range(20_000, 20_004):
        tag = b"ID3\x04\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0))

        assert is_bounded(speech(tag + b"\0" * size + mp3(3))["input_audio"])
        assert not is_bounded(speech(tag + b"\0" * size + b"fLaC" * 9)["input_audio"])
