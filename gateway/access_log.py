"""
One JSON line per call: ids, numbers with units; never a key, never a prompt.

Lines gather for a moment and are written together, because a write of its own costs as
much as a fifth of a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from time import time
from typing import Any, BinaryIO

import msgspec

WRITE_EVERY_S = 0.2  # Short enough to watch a log by eye.
WRITE_AT_BYTES = 64 * 1024
ENDINGS = tuple(b'.%03dZ"}\n' % millisecond for millisecond in range(1000))


class AccessLog:
    """
    Writes the line of each finished call, with the time at which it was taken.

    Args:
        clock: Seconds since 1970.
    """

    def __init__(self, out: BinaryIO, clock: Callable[[], float] = time) -> None:
        self._out = out
        self._clock = clock
        self._second = -1
        self._second_text = b""
        self._lines = bytearray()
        self._encode_into = msgspec.json.Encoder().encode_into
        self._due: asyncio.TimerHandle | None = None

    def write(self, line: dict[str, Any]) -> None:
        """Take a line; it is written within `WRITE_EVERY_S`."""
        now = self._clock()
        if not self._second <= now < self._second + 1:
            self._begin_second(now)
        lines = self._lines
        self._encode_into(line, lines, -1)
        lines.pop()  # The brace, which is in the ending.
        lines += self._second_text
        lines += ENDINGS[int((now - self._second) * 1000)]
        if len(lines) >= WRITE_AT_BYTES:
            self.flush()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(WRITE_EVERY_S, self.flush)

    def _begin_second(self, now: float) -> None:
        """Written out once a second: it costs more than the rest of a line."""
        self._second = int(now)
        text = datetime.fromtimestamp(self._second, UTC).isoformat()[:19]
        self._second_text = f',"at":"{text}'.encode()

    def flush(self) -> None:
        """Write what has gathered."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._lines:
            lines, self._lines = self._lines, bytearray()
            try:
                self._out.write(lines)
                self._out.flush()
            except (BrokenPipeError, ValueError):
                # Nobody reads the log any more; calls go on without it.
                pass
