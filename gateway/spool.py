"""
Spool: a body that is kept byte for byte, in memory while it is short and in a file after that.

A file of its own kind: it has no name, so nothing is left when this process dies, and it is
read at a place rather than on from where somebody else stopped.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile

IN_MEMORY_BYTES = 256 * 1024  # A spoken sentence or a small picture; more goes to a file.
PIECE_BYTES = 256 * 1024  # What is in memory of a long body while it is read or sent.


class Spool:
    """
    A body that came with `content_type`, to be sent on as it came.

    Attributes:
        content_type: The header's value, boundary included.
        length: Bytes so far.
    """

    def __init__(self, content_type: bytes, *, in_memory_bytes: int = IN_MEMORY_BYTES) -> None:
        self.content_type = content_type
        self.length = 0
        self._in_memory_bytes = in_memory_bytes
        # Closed by `close`, which whoever reads the body calls when the call is over.
        self._file = SpooledTemporaryFile(max_size=in_memory_bytes)  # noqa: SIM115
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def __repr__(self) -> str:
        return f"<Spool of {self.length} bytes>"

    def __len__(self) -> int:
        return self.length

    @property
    def on_disk(self) -> bool:
        """Whether it has grown out of the memory."""
        return self.length > self._in_memory_bytes

    async def add(self, piece: bytes) -> None:
        """Take the next bytes; a file is written in a thread, a large piece at a time."""
        self.length += len(piece)
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        if not self.on_disk:
            self._write()
        elif self._waiting_bytes >= PIECE_BYTES:
            await asyncio.to_thread(self._write)

    async def end(self) -> None:
        """All of it is here."""
        if self.on_disk:
            await asyncio.to_thread(self._write)
            self._file.rollover()

    def read_at(self, offset: int, most: int) -> bytes:
        """Up to `most` bytes from a place; blocks for as long as the disk does."""
        if self.on_disk:
            return os.pread(self._file.fileno(), most, offset)
        self._file.seek(offset)
        return self._file.read(most)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body again, piece by piece."""
        offset = 0
        while offset < self.length:
            most = min(PIECE_BYTES, self.length - offset)
            if self.on_disk:
                piece = await asyncio.to_thread(self.read_at, offset, most)
            else:
                piece = self.read_at(offset, most)
            if not piece:
                raise OSError("the spooled body is shorter than what was written")
            yield piece
            offset += len(piece)

    def close(self) -> None:
        """Forget it; may be said more than once."""
        self._waiting.clear()
        self._file.close()

    def _write(self) -> None:
        self._file.write(b"".join(self._waiting))
        self._file.flush()
        self._waiting.clear()
        self._waiting_bytes = 0
