"""
How long a sound is, from its bytes: its frames are walked one by one, split anywhere.

No header is believed that says how long the whole is: only what is there is counted.

    Pcm    16-bit samples, one channel, 24 kHz; as WAV behind a header
    Mpeg   MP3 (and its older layers) frame by frame
    Adts   AAC frame by frame
    Ogg    Opus or Vorbis by the position that each page says it ends at
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

SPEECH_SAMPLES_PER_S = 24_000  # OpenAI's speech, as documented.
_SPEECH_BYTES_PER_S = SPEECH_SAMPLES_PER_S * 2
WAV_HEADER_BYTES = 44


class Walker(Protocol):
    """Takes the bytes of a sound in order."""

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        ...

    @property
    def milliseconds(self) -> int:
        """How long all of it is so far, rounded up."""
        ...


class Bytes:
    """Sound of a steady rate, such as PCM, behind a header of so many bytes."""

    def __init__(self, bytes_per_s: int = _SPEECH_BYTES_PER_S, *, header_bytes: int = 0) -> None:
        self._bytes_per_s = bytes_per_s
        self._header_bytes = header_bytes
        self._length = 0

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        self._length += len(data)

    @property
    def milliseconds(self) -> int:
        """By the number of bytes behind the header."""
        return -(-max(0, self._length - self._header_bytes) * 1000 // self._bytes_per_s)


class _Frames(ABC):
    """What MP3 and AAC have alike: a frame says in its head how long it is."""

    head_bytes = 0

    def __init__(self) -> None:
        self.frames = 0
        self.garbage = 0
        self._seconds = 0.0
        self._rest = b""
        self._skip = 0

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        data = self._rest + data[self._skip :]
        self._skip = 0
        at = 0
        while at + self.head_bytes <= len(data):
            size = self._frame(data, at)
            if not size:
                following = data.find(b"\xff", at + 1)
                following = len(data) if following < 0 else following
                self.garbage += following - at
                at = following
                continue
            at += size
        self._skip = max(0, at - len(data))
        self._rest = data[at:]

    @property
    def milliseconds(self) -> int:
        """By the frames that were found."""
        return -(-round(self._seconds * 1_000_000) // 1000)

    @abstractmethod
    def _frame(self, data: bytes, at: int) -> int:
        """Take the frame at a place; its length, or 0 where none begins there."""


# Kilobits a second: by (is MPEG 1, layer), the index in the head.
_RATES = {
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
}
_SAMPLES_PER_S = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


class Mpeg(_Frames):
    """MP3: each frame has its own bit rate."""

    head_bytes = 4

    def _frame(self, data: bytes, at: int) -> int:
        version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
        rate, frequency = data[at + 2] >> 4, data[at + 2] >> 2 & 3
        if data[at] != 0xFF or data[at + 1] < 0xE0 or version == 1 or layer == 4:
            return 0
        if rate in (0, 15) or frequency == 3:
            return 0
        first = version == 3
        bits = _RATES[first, layer][rate] * 1000
        per_s = _SAMPLES_PER_S[version][frequency]
        padding = data[at + 2] >> 1 & 1
        samples = 384 if layer == 1 else 1152 if first or layer == 2 else 576
        self.frames += 1
        self._seconds += samples / per_s
        if layer == 1:
            return (12 * bits // per_s + padding) * 4
        return samples // 8 * bits // per_s + padding


_AAC_SAMPLES_PER_S = (
    *(96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350),
)


class Adts(_Frames):
    """AAC as it is streamed."""

    head_bytes = 7

    def _frame(self, data: bytes, at: int) -> int:
        frequency = data[at + 2] >> 2 & 15
        size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        if data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0 or frequency > 12 or size < 7:
            return 0
        self.frames += 1
        blocks = (data[at + 6] & 3) + 1
        self._seconds += 1024 * blocks / _AAC_SAMPLES_PER_S[frequency]
        return size


class Ogg:
    """Opus (always counted at 48 kHz) or Vorbis (at the rate its first page says)."""

    def __init__(self) -> None:
        self.pages = 0
        self._samples_per_s = 48_000
        self._ends_at = 0
        self._rest = b""
        self._skip = 0

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        data = self._rest + data[self._skip :]
        self._skip = 0
        at = 0
        while True:
            found = data.find(b"OggS", at)
            if found < 0:
                at = max(at, len(data) - 3)
                break
            at = found
            if at + 27 > len(data) or at + 27 + data[at + 26] > len(data):
                break
            at += self._page(data, at)
        self._skip = max(0, at - len(data))
        self._rest = data[at:]

    @property
    def milliseconds(self) -> int:
        """By the last page that says where it ends."""
        return -(-self._ends_at * 1000 // self._samples_per_s)

    def _page(self, data: bytes, at: int) -> int:
        position = int.from_bytes(data[at + 6 : at + 14], "little", signed=True)
        lacing = data[at + 27 : at + 27 + data[at + 26]]
        body = at + 27 + len(lacing)
        if not self.pages and data[body : body + 7] == b"\x01vorbis":
            self._samples_per_s = int.from_bytes(data[body + 12 : body + 16], "little") or 48_000
        self.pages += 1
        self._ends_at = max(self._ends_at, position)
        return 27 + len(lacing) + sum(lacing)
