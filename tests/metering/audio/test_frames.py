"""How long a sound is: by its frames, wherever it is split, and whatever its headers say."""

from __future__ import annotations

import io
import random
import struct

import pytest

from gateway.dev import stub_sounds
from metering.audio.frames import Adts, Mpeg, Ogg
from metering.audio.speech_reply import walker
from metering.audio.uploaded import length_of
from metering.call import UploadedFile

FORMATS = ("mp3", "aac", "opus", "wav", "pcm", "flac")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_sound_is_measured_alike_wherever_it_is_split(kind):
    """Whole, byte by byte, and in a hundred random ways."""
    sound, milliseconds = stub_sounds.speech(kind, 200)
    chosen = random.Random(5)
    ways = [[len(sound)], [1] * len(sound)]
    ways += [[chosen.randint(1, 700) for _ in range(len(sound))] for _ in range(100)]

    for sizes in ways:
        measure, stream = walker(kind), io.BytesIO(sound)
        for size in sizes:
            measure.feed(stream.read(size))
        assert measure.milliseconds == milliseconds


@pytest.mark.parametrize(
    ("head", "samples", "per_s", "size"),
    [
        (b"\xff\xfb\x90\x00", 1152, 44_100, 417),  # MPEG 1 layer 3, 128 kbit/s
        (b"\xff\xfb\x92\x00", 1152, 44_100, 418),  # the same, padded
        (b"\xff\xf3\x14\x00", 576, 24_000, 24),  # MPEG 2 layer 3, 8 kbit/s
        (b"\xff\xe3\x18\x00", 576, 8_000, 72),  # MPEG 2.5 layer 3, 8 kbit/s at 8 kHz
        (b"\xff\xfd\x14\x00", 1152, 48_000, 96),  # MPEG 1 layer 2, 32 kbit/s
    ],
)
def test_an_mp3_frame_is_as_long_as_its_head_says(head, samples, per_s, size):
    """By the standard's tables, worked out by hand for each version."""
    measure = Mpeg()

    measure.feed((head + bytes(size - 4)) * 100)

    assert (measure.frames, measure.garbage) == (100, 0)
    assert measure.milliseconds == -(-samples * 100_000 // per_s)


def test_what_is_no_frame_is_left_out():
    """Titles before, noise between: only frames are sound."""
    measure = Mpeg()

    measure.feed(b"TAG" + stub_sounds.mp3(240) + b"noise" * 9 + stub_sounds.mp3(240) + b"\xff")

    assert (measure.frames, measure.milliseconds) == (20, 480)


def test_noise_is_no_reason_to_fail():
    """Every walker takes every byte."""
    chosen = random.Random(9)
    for _ in range(300):
        noise = chosen.randbytes(chosen.randint(0, 300)) + b"OggS\xff\xf1\xff\xfb"
        for measure in (Mpeg(), Adts(), Ogg()):
            measure.feed(noise)
            measure.feed(noise)
            assert measure.milliseconds >= 0


def uploaded(data: bytes, filename: str = "a") -> UploadedFile:
    return UploadedFile(
        "file", filename, "", len(data), data[:4096], lambda at, most: data[at : at + most]
    )


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_a_plain_wav_is_as_long_as_its_samples(rate):
    """Exactly measured, and held for with its header."""
    length = length_of(uploaded(stub_sounds.wav(10_000, rate=rate)))

    assert length.measured == 10_000
    assert 10_000 <= length.most <= 10_003


def test_a_streamed_wav_is_as_long_as_what_is_there():
    """Its header says 4 GB, which nobody believes."""
    assert length_of(uploaded(stub_sounds.wav(10_000, streamed=True))).measured == 10_000


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (20, struct.pack("<H", 0x55)),  # MP3 within a WAV
        (22, struct.pack("<H", 0)),  # no channel
        (24, struct.pack("<I", 10**6)),  # a million samples a second
        (28, struct.pack("<I", 10**9)),  # a gigabyte a second
        (32, struct.pack("<H", 64)),  # 64 bytes a sample
        (34, struct.pack("<H", 4)),  # packed to 4 bit
    ],
)
def test_a_wav_that_lies_is_held_for_as_any_file(at, value):
    """At 6 kbit/s: a header that contradicts itself shortens nothing."""
    sound = bytearray(stub_sounds.wav(10_000))
    sound[at : at + len(value)] = value

    assert length_of(uploaded(bytes(sound))).most >= len(sound) * 1000 // 750


def test_a_wav_whose_rates_agree_on_a_lie_is_not_believed():
    """A file that says 8 MB a second, in all of its fields."""
    sound = bytearray(stub_sounds.wav(10_000))
    struct.pack_into("<HIIHH", sound, 22, 8, 2**20, 2**24, 16, 16)

    assert length_of(uploaded(bytes(sound))).most >= len(sound) * 1000 // 750


def test_an_mp3_is_measured_and_its_bytes_bound_it():
    """The picture in front of it is no sound."""
    titles = b"ID3\x04\x00\x00" + bytes([0, 0, 100, 0]) + b"\xff\xfb\x90\x00" * 3200
    sound = titles + stub_sounds.mp3(24_000)

    length = length_of(uploaded(sound))

    assert length.measured == 24_000
    assert length.most == -(-len(sound) * 1000 // 750)


def test_a_flac_that_says_it_is_long_is_held_for_that_long():
    """An hour of silence has a few bytes; what its header says is taken where it is longer."""
    info = struct.pack(">HHI", 4096, 4096, 0)[:4] + bytes(6)
    samples = 3600 * 48_000
    packed = 48_000 << 44 | 0 << 41 | 15 << 36 | samples
    sound = b"fLaC" + b"\x80\x00\x00\x22" + info + packed.to_bytes(8, "big") + bytes(16) + bytes(99)

    length = length_of(uploaded(sound, "a.flac"))

    assert length.measured == length.most == 3_600_000


def test_a_header_cannot_make_a_sound_shorter_than_its_bytes_can_be():
    """The same file with a second in its header and 3 MB behind it: 10 s at the highest rate."""
    info = struct.pack(">HHI", 4096, 4096, 0)[:4] + bytes(6)
    packed = 48_000 << 44 | 0 << 41 | 15 << 36 | 48_000
    head = b"fLaC" + b"\x80\x00\x00\x22" + info + packed.to_bytes(8, "big") + bytes(16)
    sound = head + bytes(2_880_000)

    length = length_of(uploaded(sound, "a.flac"))

    assert length.measured == len(sound) * 1000 // 288_000
    assert length.most == -(-len(sound) * 1000 // 750)


def test_a_sound_nobody_knows_is_as_long_as_usual():
    """32 kbit/s for what is measured, 6 kbit/s for what is held."""
    length = length_of(uploaded(bytes(40_000), "a.webm"))

    assert (length.measured, length.most) == (10_000, -(-40_000_000 // 750))


def test_any_bytes_have_some_length():
    """Noise behind each head that is known: a bound that is not below what was measured."""
    chosen = random.Random(4)
    heads = (
        b"OggS",
        b"ID3",
        b"\xff\xf1",
        b"\xff\xfb",
        b"fLaC",
        b"RIFF",
        b"\0\0\0\x20ftypM4A ",
        b"",
    )
    for _ in range(400):
        data = chosen.choice(heads) + chosen.randbytes(chosen.randint(0, 3_000))
        length = length_of(uploaded(data))
        assert 0 <= length.measured <= length.most
