"""Sounds of a known length for the stub OpenAI: silence, in each format that speech comes in."""

from __future__ import annotations

import struct

_MP3_FRAME = b"\xff\xf3\x84\xc4" + bytes(188)  # MPEG 2, layer 3, 64 kbit/s at 24 kHz: 24 ms
_AAC_FRAME = bytes((0xFF, 0xF1, 0x58, 0x40, 0x02, 0x1F, 0xFC)) + bytes(9)  # 1024 samples
OPUS_PAGE_MS = 20


def wav(milliseconds: int, *, rate: int = 24_000, streamed: bool = False) -> bytes:
    """A WAV of 16-bit silence; a streamed one does not know its length and says the most."""
    data = bytes(milliseconds * rate * 2 // 1000)
    length, whole = (2**32 - 1, 2**32 - 1) if streamed else (len(data), len(data) + 36)
    head = struct.pack(
        "<4sI8sIHHIIHH", b"RIFF", whole, b"WAVEfmt ", 16, 1, 1, rate, rate * 2, 2, 16
    )
    return head + struct.pack("<4sI", b"data", length) + data


def mp3(milliseconds: int) -> bytes:
    """MP3 of whole frames of 24 ms."""
    return _MP3_FRAME * -(-milliseconds // 24)


def aac(milliseconds: int) -> bytes:
    """AAC in ADTS frames of 42.67 ms."""
    return _AAC_FRAME * -(-milliseconds * 24 // 1024)


def opus(milliseconds: int) -> bytes:
    """Ogg pages of 20 ms; their checksums are not worked out."""
    pages = [_page(0, b"OpusHead" + bytes(11)), _page(0, b"OpusTags" + bytes(8))]
    for number in range(1, -(-milliseconds // OPUS_PAGE_MS) + 1):
        pages.append(_page(number * 960, b"\xf8\xff\xfe"))
    return b"".join(pages)


def speech(kind: str, milliseconds: int) -> tuple[bytes, int]:
    """Speech in a format, and how many milliseconds it is when its frames are whole."""
    if kind == "wav":
        return wav(milliseconds, streamed=True), milliseconds
    if kind == "mp3":
        return mp3(milliseconds), -(-milliseconds // 24) * 24
    if kind == "aac":
        frames = -(-milliseconds * 24 // 1024)
        return aac(milliseconds), -(-frames * 1024 * 1000 // 24_000)
    if kind == "opus":
        return opus(milliseconds), -(-milliseconds // OPUS_PAGE_MS) * OPUS_PAGE_MS
    if kind == "flac":
        return b"fLaC" + bytes(26 * milliseconds - 4), milliseconds
    return bytes(48 * milliseconds), milliseconds


def _page(position: int, packet: bytes) -> bytes:
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, 0, position, 1, 0, 0, 1)
    return head + bytes([len(packet)]) + packet
