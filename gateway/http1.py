"""
Http1Transport: the way out, an httpx2 transport that costs a tenth of the stock one.

HTTP/1.1 on asyncio and httptools, for calls to few origins: connections are kept, limits are
kept, replies are passed on as they arrive. It follows no redirect, keeps no cookie, reads no
environment, opens no proxy and decodes no content.

    Http1Transport   asks the pool for a slot and a connection, and the connection for a reply
    ├── Pool         how many calls at once; idle connections, last used first
    └── Connection   one socket: writes a request, reads a reply, watches the clock (Alarm)
        ├── ReplyParser   bytes → status, headers, body
        └── Reply         what the caller reads, chunk by chunk
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

import httpx2

from gateway.http1_connection import Connection, Origin, Patience
from gateway.http1_pool import Pool
from gateway.http1_request import Outgoing

PORTS = {"http": 80, "https": 443}


class Http1Transport(httpx2.AsyncBaseTransport):
    """
    Sends requests over kept connections, at most `max_connections` at once.

    Times come with the request, in `extensions["timeout"]`, in seconds; one that is absent
    or None does not run out:
        pool: for one of the connections to be free.
        connect: for a new connection, TLS included.
        first_byte: from the request to the end of the reply's headers; else `read`.
        read: between two pieces of the body. A reader who is slow himself is not hurried.
        total: for all of it, from here to the last byte.

    A request whose first byte was written is never sent again.

    Raises, from `handle_async_request` and while the body is read:
        PoolTimeout, ConnectTimeout, ConnectError, LocalProtocolError, UnsupportedProtocol:
            Nothing was sent.
        ReadTimeout, ReadError, RemoteProtocolError: The server may have acted on it.
    """

    def __init__(self, *, max_connections: int, ssl_context: ssl.SSLContext | None = None) -> None:
        self._pool = Pool(max_connections)
        self._ssl_context = ssl_context
        self._connections: set[Connection] = set()
        self._closed = False

    @property
    def active(self) -> int:
        """Calls that are being sent or answered now."""
        return self._pool.active

    @property
    def idle(self) -> int:
        """Open connections without a call."""
        return self._pool.idle

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        return self._pool.waiting

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        now = asyncio.get_running_loop().time()
        limits: Mapping[str, float | None] = request.extensions.get("timeout", {})
        patience = _patience(limits, now)
        origin = _origin(request.url)
        outgoing = await Outgoing.of(request)
        await self._pool.enter(patience.at_most(now, limits.get("pool")))
        try:
            connection = self._pool.take(origin)
            if connection is None:
                connection = await self._connect(origin, limits.get("connect"), patience)
            reply = connection.ask(outgoing, patience)
        except BaseException:
            self._pool.leave()
            raise
        # From here on the connection gives the slot back, whatever becomes of the caller.
        try:
            await reply.head()
        except BaseException:
            await reply.aclose()
            raise
        return httpx2.Response(reply.status, headers=reply.headers, stream=reply)

    async def aclose(self) -> None:
        """Close every connection; calls that still run are cut."""
        self._closed = True
        for connection in list(self._connections):
            connection.abort()

    async def _connect(
        self, origin: Origin, connect_s: float | None, patience: Patience
    ) -> Connection:
        loop = asyncio.get_running_loop()
        scheme, host, port = origin
        connection = Connection(loop, origin, freed=self._freed, lost=self._lost)
        wait_s = patience.at_most(loop.time(), connect_s)
        try:
            async with asyncio.timeout(wait_s):
                await loop.create_connection(
                    lambda: connection, host, port, ssl=self._tls() if scheme == "https" else None
                )
        except TimeoutError:
            raise httpx2.ConnectTimeout(
                f"{host}:{port} was not reached within {wait_s:g} s"
            ) from None
        except OSError as error:
            raise httpx2.ConnectError(f"{host}:{port} cannot be reached: {error}") from error
        if self._closed:
            connection.abort()
            raise httpx2.ConnectError("the transport is closed")
        self._connections.add(connection)
        return connection

    def _tls(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = httpx2.create_ssl_context(trust_env=False)
            self._ssl_context.set_alpn_protocols(["http/1.1"])
        return self._ssl_context

    def _freed(self, connection: Connection, keeps: bool) -> None:
        if keeps and not self._closed:
            self._pool.put(connection)
        elif keeps:
            connection.abort()
        self._pool.leave()

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._pool.forget(connection)


def _origin(url: httpx2.URL) -> Origin:
    scheme = url.scheme
    if scheme not in PORTS:
        raise httpx2.UnsupportedProtocol(f"{scheme!r} is not spoken here; http and https are")
    return scheme, url.host, url.port or PORTS[scheme]


def _patience(limits: Mapping[str, float | None], now: float) -> Patience:
    read_s = limits.get("read")
    total_s = limits.get("total")
    return Patience(
        first_byte_s=limits.get("first_byte", read_s),
        progress_s=read_s,
        total_s=total_s,
        ends_at=None if total_s is None else now + total_s,
    )
