"""
One JSON line per call: ids, numbers with units; never a key, never a prompt.

Lines gather for a moment and are written together, because a write of its own costs as
much as a fifth of a call.
"""

from __future__ import annotations

import asyncio
from typing import Any, BinaryIO

import msgspec

WRITE_EVERY_S = 0.2  # Short enough to watch a log by eye.
WRITE_AT_BYTES = 64 * 1024


class AccessLog:
    """Writes the line of each finished call."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lines = bytearray()
        self._encode_into = msgspec.json.Encoder().encode_into
        self._due: asyncio.TimerHandle | None = None

    def write(self, line: dict[str, Any]) -> None:
        """Take a line; it is written within `WRITE_EVERY_S`."""
        self._encode_into(line, self._lines, -1)
        self._lines += b"\n"
        if len(self._lines) >= WRITE_AT_BYTES:
            self.flush()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(WRITE_EVERY_S, self.flush)

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
