"""Reply: what comes back for one request, chunk by chunk, while it comes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

import httpx2

MOST_HELD_BYTES = 256 * 1024  # A slow reader may leave this much unread; then the socket waits.
RESUME_BYTES = 64 * 1024  # Low enough that a reader at our own pace does not stop and go.


class Source(Protocol):
    """Where a reply comes from: a connection, as far as the reply has to know it."""

    def abort(self) -> None:
        """Close at once; what was not sent or read is lost."""

    def pause(self) -> None:
        """Read no more until `resume`."""

    def resume(self) -> None:
        """Read on."""


class Reply(httpx2.AsyncByteStream):
    """
    The status, headers and body of one reply.

    Iterating gives the body as it arrived: the data of one read of the socket is one chunk.
    When the last byte has arrived the connection is free for the next call, even while
    chunks wait here to be read.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, source: Source) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._loop = loop
        self._source: Source | None = source
        self._chunks: deque[bytes] = deque()
        self._held_bytes = 0
        self._paused = False
        self._complete = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def head(self) -> None:
        """Wait for the status and the headers."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._news()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._complete:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            await self._news()
        chunk = self._chunks.popleft()
        self._held_bytes -= len(chunk)
        if self._paused and self._held_bytes <= RESUME_BYTES:
            self._paused = False
            if self._source is not None:
                self._source.resume()
        return chunk

    async def aclose(self) -> None:
        """Done with this reply: a connection that still has some of it to come is closed."""
        if self._source is not None:
            self._source.abort()
        self._chunks.clear()
        self._held_bytes = 0

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head is known."""
        self.status = status
        self.headers = headers

    def give(self, chunk: bytes) -> None:
        """One more piece of the body has arrived."""
        self._chunks.append(chunk)
        self._held_bytes += len(chunk)
        if self._held_bytes > MOST_HELD_BYTES and not self._paused and self._source is not None:
            self._paused = True
            self._source.pause()

    def finish(self) -> None:
        """The last byte has arrived."""
        self._source = None
        self._complete = True
        self.wake()

    def fail(self, error: Exception) -> None:
        """No more will come; what has arrived can still be read, then `error` is raised."""
        self._source = None
        self._error = error
        self.wake()

    def wake(self) -> None:
        """Let the reader look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _news(self) -> None:
        assert self._waiter is None, "one reply has one reader"
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
