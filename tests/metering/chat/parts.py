"""Parts of a message that are not text, made on the spot."""

from __future__ import annotations

import base64
import struct
from typing import Any

# A PNG that is nothing but a header; it claims 65,535 pixels either way.
TINY_PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 65_535, 65_535)


def image(data: bytes = TINY_PNG, **fields: Any) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def image_at(url: str = "https://example.com/a.png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def speech(data: bytes, kind: str = "wav") -> dict[str, Any]:
    text = base64.b64encode(data).decode()
    return {"type": "input_audio", "input_audio": {"data": text, "format": kind}}


def wav(
    seconds: float = 1, *, rate: int = 16_000, channels: int = 1, bits: int = 16, kind: int = 1
) -> bytes:
    """Silence."""
    frame = channels * bits // 8
    samples = b"\0" * int(seconds * rate * frame)
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(samples))
    return b"RIFF" + struct.pack("<I", len(chunks) + len(samples)) + chunks + samples


def mp3(frames: int, *, header: bytes = b"\xff\xfb\x90\x00", length: int = 417) -> bytes:
    """Frames of 128 kbit/s at 44.1 kHz, 26 ms each, or of another header and length."""
    return (header + b"\0" * (length - 4)) * frames


def file(data: bytes, mime: str = "text/plain", **fields: Any) -> dict[str, Any]:
    text = f"data:{mime};base64,{base64.b64encode(data).decode()}"
    return {"type": "file", "file": {"file_data": text, **fields}}


def text(said: str = "What is this") -> dict[str, Any]:
    return {"type": "text", "text": said}


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of a call with these parts."""
    return [{"role": "user", "content": list(parts)}]
