"""Upload: a long body on its way out, no faster than the server takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import httpx2


class LongBody(Protocol):
    """A body of a known length that is read piece by piece."""

    def __len__(self) -> int:
        """Its length in bytes."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """The body from its beginning."""
        ...


class LongStream(httpx2.AsyncByteStream):
    """A long body in a request; `Outgoing` takes it out again and never joins it."""

    def __init__(self, body: LongBody) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self.body.pieces():
            yield piece


class Upload:
    """
    Writes a body to a transport, piece by piece.

    Exactly its length is written: what is shorter or longer fails, because the rest would be
    taken for the next request.

    Args:
        progressed: Called after each piece that the transport took.
        failed: Called once when the body could not be read.
    """

    def __init__(
        self,
        body: LongBody,
        transport: asyncio.Transport,
        *,
        progressed: Callable[[], None],
        failed: Callable[[httpx2.TransportError], None],
    ) -> None:
        self.done = False
        self._body = body
        self._transport = transport
        self._progressed = progressed
        self._failed = failed
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def pause(self) -> None:
        """The transport is full."""
        self._may_write.clear()

    def resume(self) -> None:
        """The transport takes more."""
        self._may_write.set()

    def stop(self) -> None:
        """Write no more of it."""
        self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._write()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failed(httpx2.WriteError(f"the body could not be read ({type(error).__name__})"))

    async def _write(self) -> None:
        left = len(self._body)
        async for piece in self._body.pieces():
            left -= len(piece)
            if left < 0:
                raise ValueError("a body is longer than it said")
            self._transport.write(piece)
            await self._may_write.wait()
            self._progressed()
        if left:
            raise ValueError("a body is shorter than it said")
        self.done = True
