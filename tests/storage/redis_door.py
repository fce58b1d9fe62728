"""A door in front of Redis, on TCP or TLS, that can be shut, held and watched."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class RedisDoor:
    """
    Passes bytes between its port and the unix socket of a Redis.

    Attributes:
        port: Where it listens, on localhost.
        inside: Connections that are open.
        asked: What came in, one piece for each read.
        cuts: So many next pieces are passed to Redis, and then the connection is closed.
        answers_pass: Cleared, it keeps what Redis answers until it is set again.
    """

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self.port = 0
        self.inside = 0
        self.asked: list[bytes] = []
        self.cuts = 0
        self.answers_pass = asyncio.Event()
        self.answers_pass.set()

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[RedisDoor]:
        """A door to the Redis of a `unix://` URL."""
        door = cls(url.removeprefix("unix://"))
        door._listener = await asyncio.start_server(door._enter, "localhost", 0, ssl=tls)
        door.port = door._listener.sockets[0].getsockname()[1]
        try:
            yield door
        finally:
            door.shut()
            for task in door._tasks:
                task.cancel()
            await asyncio.gather(*door._tasks, return_exceptions=True)

    def shut(self) -> None:
        """Let nobody in any more; who is inside stays."""
        assert self._listener is not None
        self._listener.close()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.inside += 1
        from_redis, to_redis = await asyncio.open_unix_connection(self._socket)
        answers = asyncio.ensure_future(self._pass_answers(from_redis, writer))
        try:
            while piece := await reader.read(1 << 20):
                self.asked.append(piece)
                to_redis.write(piece)
                if self.cuts:
                    self.cuts -= 1
                    break
        finally:
            self.inside -= 1
            answers.cancel()
            to_redis.close()
            with suppress(ConnectionError):
                writer.transport.abort()

    async def _pass_answers(
        self, from_redis: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while piece := await from_redis.read(1 << 20):
            await self.answers_pass.wait()
            writer.write(piece)
