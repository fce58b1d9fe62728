"""RawServer: a server that a test writes byte by byte, for all that real ones do not do."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

Talk = Callable[["Caller"], Awaitable[None]]


class Caller:
    """One connection, seen from the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """One request, head and body; empty when the client has closed."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return head + await self.reader.readexactly(length)

    async def says(self, data: bytes) -> None:
        """Send these bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def is_gone(self) -> bool:
        """Wait until the client has closed; whether it did so without another word."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True


class RawServer:
    """What the server saw, and where it is."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def talking(
        cls, talk: Talk, *, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[RawServer]:
        """A server that holds this conversation on every connection, then closes it."""
        server = cls()
        running: set[asyncio.Task[None]] = set()

        async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            running.add(task)
            server.connections += 1
            # Cancelled at the end of the test: asyncio would log it as an accident.
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await talk(Caller(reader, writer))
            running.discard(task)
            writer.close()

        listener = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=tls)
        server.port = listener.sockets[0].getsockname()[1]
        try:
            yield server
        finally:
            listener.close()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    @classmethod
    @contextlib.asynccontextmanager
    async def answering(cls, *replies: bytes) -> AsyncIterator[RawServer]:
        """
        A server with these replies, one for each request of a connection.

        After the last one it closes the connection.
        """
        seen: list[bytes] = []

        async def talk(caller: Caller) -> None:
            for reply in replies:
                request = await caller.request()
                if not request:
                    return
                seen.append(request)
                await caller.says(reply)

        async with cls.talking(talk) as server:
            server.requests = seen
            yield server
