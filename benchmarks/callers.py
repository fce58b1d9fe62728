"""
The load: callers that make the same call again and again, and look at every reply.

One connection is one caller. A reply that is not exactly what the upstream sends fails the
run; so a figure is never that of an error.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self, cast

import httptools

CONNECTED_AT_ONCE = 100  # Fewer than any listener's backlog.
DONE = b"data: [DONE]\n\n"


class CallFailed(Exception):
    """A reply was not 200, not whole, or not what the upstream sends."""


@dataclass(frozen=True)
class Request:
    """What every caller sends, and how long the body of its reply is."""

    wire: bytes
    streams: bool
    reply_bytes: int | None = None

    @classmethod
    def of(
        cls,
        body: bytes,
        *,
        key: str,
        reply_bytes: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        """A chat completion as the official client would send it, without its chatter."""
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\n"
            "host: 127.0.0.1\r\n"
            f"authorization: Bearer {key}\r\n"
            "content-type: application/json\r\n"
            "accept: application/json\r\n"
            "user-agent: bench\r\n"
            f"{more}"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return cls(head.encode() + body, b'"stream":true' in body, reply_bytes)


class Caller(asyncio.Protocol):
    """One kept connection with one call at a time."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._bytes = 0
        self._tail = b""
        self.calling = False

    def call(self) -> None:
        assert self._transport is not None
        self.calling = True
        self._bytes = 0
        self._tail = b""
        self._transport.write(self._callers.request.wire)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._bytes += len(body)
        # Who sent the end of a stream may have cut it anywhere.
        self._tail = body if len(body) > len(DONE) else self._tail[-len(DONE) :] + body

    def on_message_complete(self) -> None:
        wrong = self._what_is_wrong()
        self.calling = False
        if wrong:
            self._callers.wrong(self, wrong, stays=self._parser.should_keep_alive())
        else:
            self._callers.answered(self, self._bytes)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._callers.lost(self, f"a connection was closed ({error})")

    def _what_is_wrong(self) -> str | None:
        request = self._callers.request
        status = self._parser.get_status_code()
        if status != 200:
            return f"status {status}: {self._tail[:300]!r}"
        if request.streams and not self._tail.endswith(DONE):
            return f"a stream ended early: {self._tail[-100:]!r}"
        if request.reply_bytes is not None and self._bytes != request.reply_bytes:
            return f"a reply has {self._bytes} bytes; the upstream sends {request.reply_bytes}"
        return None


class Callers:
    """
    A number of connections to one server.

    Attributes:
        made: Calls that were answered, all of them as they should be.
        reply_bytes: The length of the last reply's body.
    """

    def __init__(self, request: Request, port: int) -> None:
        self.request = request
        self._port = port
        self.made = 0
        self.reply_bytes = 0
        self._all: list[Caller] = []
        self._to_begin = 0
        self._to_end = 0
        self._over: asyncio.Future[None] | None = None
        self._closing = False

    @classmethod
    @asynccontextmanager
    async def connected(cls, port: int, request: Request, count: int) -> AsyncIterator[Self]:
        """So many callers, connected; nothing is called yet."""
        callers = cls(request, port)
        try:
            for start in range(0, count, CONNECTED_AT_ONCE):
                many = range(min(CONNECTED_AT_ONCE, count - start))
                callers._all += await asyncio.gather(*(callers._connect() for _ in many))
            yield callers
        finally:
            callers._closing = True
            for caller in callers._all:
                caller.close()

    async def _connect(self) -> Caller:
        loop = asyncio.get_running_loop()
        _, caller = await loop.create_connection(lambda: Caller(self), "127.0.0.1", self._port)
        return caller

    async def make(self, calls: int, *, within_s: float) -> None:
        """
        Make so many calls, every caller its next one as soon as it is answered.

        Raises:
            CallFailed: One was not answered as it should be.
            TimeoutError: They took longer.
        """
        self._over = asyncio.get_running_loop().create_future()
        self._to_end = calls
        first = self._all[:calls]
        self._to_begin = calls - len(first)
        for caller in first:
            caller.call()
        try:
            async with asyncio.timeout(within_s):
                await self._over
        finally:
            self._over = None

    async def call_ms(self) -> float:
        """One call; how long it took, in milliseconds."""
        begun = time.perf_counter()
        await self.make(1, within_s=10)
        return (time.perf_counter() - begun) * 1000

    def answered(self, caller: Caller, reply_bytes: int) -> None:
        """A call is over; its caller makes the next."""
        self.made += 1
        self.reply_bytes = reply_bytes
        self._ended(caller)

    def wrong(self, caller: Caller, why: str, *, stays: bool) -> None:
        """A reply was not what it should be; whether its connection may be used again."""
        self.fail(why)

    def lost(self, caller: Caller, why: str) -> None:
        """A connection was closed by the other side."""
        self.fail(why)

    def _ended(self, caller: Caller) -> None:
        self._to_end -= 1
        if self._to_begin:
            self._to_begin -= 1
            caller.call()
        elif self._to_end == 0 and self._over is not None and not self._over.done():
            self._over.set_result(None)

    def fail(self, why: str) -> None:
        """End the run."""
        if not self._closing and self._over is not None and not self._over.done():
            self._over.set_exception(CallFailed(why))
