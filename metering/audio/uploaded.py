"""
How long an uploaded sound is: at the most, before the call, and measured, for replies that
do not tell it.

A header may lie. So the bound is what so many bytes can hold at the lowest bit rate at which
anybody speaks, or longer where the file itself says so; only plain PCM in a WAV, whose rate the
decoder needs, is believed to be shorter. And what is measured is never shorter than so many
bytes are at the highest rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from typing import Any

from tinytag import TinyTag

from metering.audio.frames import WAV_HEADER_BYTES, Adts, Mpeg, Ogg
from metering.call import UploadedFile

# Opus speaks from 6 kbit/s on (RFC 6716, 2.1.1); MP3's lowest is 8, AMR's 4.75 is not taken.
LOWEST_BYTES_PER_S = 750
# FLAC of two channels at 48 kHz and 24 bit, not compressed, has 288,000.
HIGHEST_BYTES_PER_S = 288_000
# Where nothing tells the length: what recorders of speech write, 32 kbit/s.
USUAL_BYTES_PER_S = 4_000
PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Length:
    """
    How long a sound is, in milliseconds.

    `most` bounds it; `measured` is what its frames, or its headers where it has no frames that
    are read here, say.
    """

    most: int
    measured: int


def length_of(file: UploadedFile) -> Length:
    """The length of an uploaded sound; reads all of it, and blocks."""
    by_bytes = -(-file.size * 1000 // LOWEST_BYTES_PER_S)
    pcm = _wav_bytes_per_s(file.head)
    if pcm is not None:
        # All of the file: what its header says of the length of the samples is not asked.
        exact = -(-file.size * 1000 // pcm)
        samples = max(0, file.size - WAV_HEADER_BYTES)
        return Length(most=exact, measured=-(-samples * 1000 // pcm))
    walked = _walked(file)
    said = walked if walked is not None else _said(file)
    least = file.size * 1000 // HIGHEST_BYTES_PER_S
    usual = -(-file.size * 1000 // USUAL_BYTES_PER_S)
    measured = usual if said is None else max(said, least)
    return Length(most=max(by_bytes, measured), measured=measured)


def _wav_bytes_per_s(head: bytes) -> int | None:
    """The rate of plain PCM in a WAV whose header does not contradict itself; else None."""
    if head[:4] != b"RIFF" or head[8:16] != b"WAVEfmt " or len(head) < 36:
        return None
    kind, channels = _number(head, 20, 2), _number(head, 22, 2)
    rate, bytes_per_s = _number(head, 24, 4), _number(head, 28, 4)
    block, bits = _number(head, 32, 2), _number(head, 34, 2)
    if kind == 0xFFFE and len(head) >= 46:
        kind = _number(head, 44, 2)
    plain = (kind, bits) in ((1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64))
    agrees = block == channels * bits // 8 and bytes_per_s == rate * block
    # More than what anybody records in is a way to call a long sound short.
    sane = 0 < channels <= 8 and 0 < rate <= 192_000
    return bytes_per_s if plain and agrees and sane else None


def _number(head: bytes, at: int, size: int) -> int:
    return int.from_bytes(head[at : at + size], "little")


def _walked(file: UploadedFile) -> int | None:
    """By its frames; None when it has none that are read here, or much that is none."""
    kind = _kind(file.head)
    if kind is None:
        return None
    walker: Mpeg | Adts | Ogg = kind()
    for piece in _pieces(file, _behind_titles(file.head)):
        walker.feed(piece)
    found = walker.pages if isinstance(walker, Ogg) else walker.frames
    return walker.milliseconds if found > 1 else None


def _kind(head: bytes) -> type[Mpeg] | type[Adts] | type[Ogg] | None:
    if head[:4] == b"OggS":
        return Ogg
    if head[:3] == b"ID3":
        return Mpeg
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return Adts
    if len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0:
        return Mpeg
    return None


def _behind_titles(head: bytes) -> int:
    """Where the frames begin: titles and pictures stand before them, in an ID3 block."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _pieces(file: UploadedFile, start: int) -> Iterator[bytes]:
    for offset in range(start, file.size, PIECE_BYTES):
        yield file.read_at(offset, PIECE_BYTES)


def _said(file: UploadedFile) -> int | None:
    """By its headers (MP4, FLAC, AIFF …), as tinytag reads them; None when it cannot."""
    opened: Any = BufferedReader(_Opened(file))
    try:
        tag = TinyTag.get(file.filename, file_obj=opened, tags=False)
    except Exception:
        return None  # Whatever a broken file makes of its reader, its length is not known.
    seconds = tag.duration
    if not isinstance(seconds, int | float) or not 0 < seconds < 10**7:
        return None
    return -(-round(seconds * 1_000_000) // 1000)


class _Opened(RawIOBase):
    """An uploaded file as an open one."""

    def __init__(self, file: UploadedFile) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read_at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._at, self._file.size)[whence]
        self._at = max(0, base + offset)
        return self._at
