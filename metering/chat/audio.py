"""
Speech in a message: what such a part may be, and how many tokens it has.

Audio is billed by the second, so bytes bound it only where the format says how many there
are to a second: in WAV its header does, in MP3 each frame. What is neither is not bounded.
"""

from __future__ import annotations

import binascii
import struct
from base64 import b64decode
from typing import Any

from metering.chat.checks import string, table
from metering.errors import CostNotBounded

# OpenAI documents 10 tokens for a second of speech that it hears, and 20 for one it speaks.
TOKENS_A_SECOND = 20

# Fewer samples than a telephone's are no speech, but a way to put hours into few bytes.
_LEAST_RATE = 4_000

# The shortest frame of MP3, 13 bytes, has at most 72 milliseconds: 1.44 tokens.
_BYTES_A_TOKEN = 9

_HEAD_CHARACTERS = 8_192  # A multiple of 4, so that the cut is one between bytes.
_PCM = frozenset({1, 3, 0xFFFE})  # Whole numbers, floats, and either with more about them.


def read_audio(where: str, value: Any) -> None:
    """
    Check the `input_audio` of a part.

    Raises:
        BodyNotUnderstood: It has no data, or no format.
        CostNotBounded: A field is not known to us.
    """
    audio = table(where, value)
    for key in audio:
        if key not in ("data", "format"):
            raise CostNotBounded(f"{where}.{key[:64]}", "is not a field we know")
    string(f"{where}.data", audio.get("data"))
    string(f"{where}.format", audio.get("format"))


def is_bounded(audio: dict[str, Any]) -> bool:
    """Whether it is WAV or MP3, so that it has fewer tokens than bytes; a look at its head."""
    text = audio["data"]
    head = _decoded(text[:_HEAD_CHARACTERS])
    if _bytes_a_second(head) is not None:
        return True
    # Behind a tag, which may be long with a picture in it, MP3 begins with a frame.
    at = _tag_bytes(head)
    start = at // 3 * 4
    return _frame(_decoded(text[start : start + 12]), at % 3) is not None


def audio_tokens(audio: dict[str, Any]) -> int:
    """The most tokens of audio that is bounded, by its length in time."""
    data = _decoded(audio["data"])
    a_second = _bytes_a_second(data)
    if a_second is not None:
        return -(-len(data) * TOKENS_A_SECOND // a_second)
    return _mp3_tokens(data)


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _bytes_a_second(data: bytes) -> int | None:
    """Of a WAV file with plain samples; None for anything else."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    at = 12
    while data[at : at + 4] not in (b"fmt ", b"data", b""):
        if len(data) < at + 8:
            return None
        (size,) = struct.unpack_from("<I", data, at + 4)
        at += 8 + size + size % 2
    if data[at : at + 4] != b"fmt " or len(data) < at + 24:
        return None
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, at + 8)
    if kind not in _PCM or rate < _LEAST_RATE or channels < 1 or bits < 8:
        return None
    return int(rate * channels * (bits // 8))


# Bits a second by the index in a frame's header, of layer III: MPEG-1, and the others.
_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def _frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    """A frame of MP3: its bytes, its samples, and how many of those make a second."""
    header = data[at : at + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, rate, sampling = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or rate in (0, 15) or sampling == 3:
        return None
    a_second = _SAMPLES[version][sampling]
    first = version == 3
    bits = (_RATES_1 if first else _RATES_2)[rate] * 1000
    length = (144 if first else 72) * bits // a_second + (header[2] >> 1 & 1)
    return length, 1152 if first else 576, a_second


def _tag_bytes(data: bytes) -> int:
    """How long the ID3 tag is that MP3 may begin with."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    return 10 + (data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9])


def _mp3_tokens(data: bytes) -> int:
    at = _tag_bytes(data)
    milliseconds = 0.0
    while (found := _frame(data, at)) is not None:
        length, samples, a_second = found
        milliseconds += 1000 * samples / a_second
        at += length
    # What follows may be a tag, or frames that a patient player finds.
    rest = max(0, len(data) - at)
    return int(milliseconds * TOKENS_A_SECOND / 1000) + rest // _BYTES_A_TOKEN + 1
