"""
Wire: one connection to Redis on which commands leave together and come back in order.

A hold and a settle of every call go this way, at 6 µs each in a full batch; a pipeline of
redis-py takes 22, and 80 to 100 alone. redis-py says where Redis is and does all the rest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.credentials import UsernamePasswordCredentialProvider
from redis.exceptions import RedisError

# A process that was stopped for a while finds its answers in the socket, but only after
# its timers: it looks once more before it believes that Redis was silent.
SECOND_LOOK_S = 0.05

Command = tuple[str | int, ...]
Replies = list[Any]
"""What Redis said to each command; an error is a `hiredis.ReplyError` among them."""


class NotConnected(ConnectionError):
    """There is no connection, and nothing was sent."""


class _Batch(NamedTuple):
    """Commands that were sent together."""

    size: int
    replies: Replies
    answer: asyncio.Future[Replies]
    silent_at: float


class Wire(asyncio.Protocol):
    """
    A connection that is open, or was; it is not opened again.

    It is closed when Redis does not answer in time: what comes late would be taken for the
    answer to something else.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, answer_within_s: float) -> None:
        self._loop = loop
        self._answer_within_s = answer_within_s
        self._reader = hiredis.Reader(encoding="utf-8", errors="replace")
        self._sent: deque[_Batch] = deque()
        self._transport: asyncio.WriteTransport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._doubted: _Batch | None = None

    @classmethod
    async def open(cls, redis: Redis, *, answer_within_s: float) -> Wire:
        """
        Connect to where a client of redis-py would: TCP, TLS or a unix socket, user, database.

        Raises:
            NotConnected: It cannot be reached in time, or does not let us in; or no
                Sentinel knows where it is.
        """
        pool: Any = redis.connection_pool
        asks_sentinels = isinstance(redis.connection_pool, SentinelConnectionPool)
        # It is never connected: it has read the URL, and knows about TLS and credentials.
        place = pool.make_connection()
        wire = cls(asyncio.get_running_loop(), answer_within_s=answer_within_s)
        try:
            async with asyncio.timeout(answer_within_s):
                if asks_sentinels:
                    place.host, place.port = await pool.get_master_address()
                await wire._connect(place)
                await wire._enter(place)
        except BaseException as error:
            wire.close()
            if isinstance(error, OSError | RedisError):
                raise NotConnected(f"Redis cannot be reached: {error or 'no answer'}") from error
            raise
        return wire

    @property
    def is_open(self) -> bool:
        """Whether something can be sent, as far as is known."""
        return self._transport is not None

    def send(self, commands: Sequence[Command]) -> asyncio.Future[Replies]:
        """
        Send commands in one piece; the answer is the reply to each, in their order.

        Raises, when it is awaited, ConnectionError or TimeoutError: Redis may have run
        them, all or some.

        Raises:
            NotConnected: Nothing was sent.
        """
        if self._transport is None:
            raise NotConnected("the connection to Redis was closed")
        # The stub of hiredis knows commands of one word only.
        packed = [hiredis.pack_command(each) for each in commands]  # type: ignore[arg-type]
        self._transport.write(b"".join(packed))
        answer: asyncio.Future[Replies] = self._loop.create_future()
        silent_at = self._loop.time() + self._answer_within_s
        self._sent.append(_Batch(len(commands), [], answer, silent_at))
        if self._watch is None:
            self._watch = self._loop.call_at(silent_at, self._look)
        return answer

    def close(self) -> None:
        """Close at once; who still waits for an answer is told."""
        self._fail(ConnectionError("the connection to Redis was closed by us"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio's do and are not derived from them.
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(ConnectionError("the connection to Redis was lost"))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            # hiredis says False when what came is not a whole reply; RESP2 has no booleans.
            while (reply := self._reader.gets()) is not False:
                self._take(reply)
        except hiredis.ProtocolError as error:
            self._fail(ConnectionError(f"what Redis says is not understood: {error}"))

    def _take(self, reply: Any) -> None:
        if not self._sent:
            # Such as "max number of clients reached"; or we were closed and this is late.
            self._fail(ConnectionError(f"Redis says without being asked: {reply}"))
            return
        batch = self._sent[0]
        batch.replies.append(reply)
        if len(batch.replies) == batch.size:
            self._sent.popleft()
            if not batch.answer.done():
                batch.answer.set_result(batch.replies)

    def _look(self) -> None:
        """Give up when the oldest batch has waited too long; else look again when it will."""
        self._watch = None
        if not self._sent:
            return
        oldest, now = self._sent[0], self._loop.time()
        if now < oldest.silent_at:
            self._watch = self._loop.call_at(oldest.silent_at, self._look)
        elif oldest is not self._doubted:
            self._doubted = oldest
            self._watch = self._loop.call_at(now + SECOND_LOOK_S, self._look)
        else:
            self._fail(TimeoutError(f"Redis said nothing for {self._answer_within_s:g} s"))

    def _fail(self, error: Exception) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        while self._sent:
            answer = self._sent.popleft().answer
            if not answer.done():
                answer.set_exception(error)

    async def _connect(self, place: Any) -> None:
        if isinstance(place, UnixDomainSocketConnection):
            await self._loop.create_unix_connection(lambda: self, place.path)
            return
        tls = place.ssl_context.get() if isinstance(place, SSLConnection) else None
        await self._loop.create_connection(lambda: self, place.host, int(place.port), ssl=tls)

    async def _enter(self, place: Any) -> None:
        commands: list[Command] = []
        provider = place.credential_provider
        if provider is None and (place.username or place.password):
            provider = UsernamePasswordCredentialProvider(place.username, place.password)
        if provider is not None:
            commands.append(("AUTH", *await provider.get_credentials_async()))
        if place.db:
            commands.append(("SELECT", int(place.db)))
        for reply in await self.send(commands) if commands else ():
            if isinstance(reply, hiredis.ReplyError):
                raise ConnectionError(f"it does not let us in: {reply}")
