"""
The one HTTP client to OpenAI: our key in, allow-listed headers out, time limits around it.

The seam is an httpx2 transport, called directly: the URL and the constant headers are made
once per endpoint, and no cookie, redirect or environment variable has a say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx2

from gateway.http1 import Http1Transport
from gateway.http1_upload import LongStream
from gateway.spool import Spool
from gateway.upstream_errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)

USER_AGENT = b"credit-gateway"

# After these the request had not left us; after any other one it may have.
NOTHING_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.LocalProtocolError,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
)


@dataclass(frozen=True, slots=True)
class UpstreamEndpoint:
    """One operation of OpenAI's, with all of a request that never changes."""

    method: str
    url: httpx2.URL
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)


class UpstreamReply:
    """
    OpenAI's answer: the head is here, the body is still coming.

    Whoever opens one closes it. The connection goes back to the pool when the reply has come
    to its end; one that is closed before is cut.
    """

    __slots__ = ("_stream", "headers", "status")

    def __init__(self, response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        self.status = response.status_code
        self.headers = [(name.lower(), value) for name, value in response.headers.raw]
        self._stream: httpx2.AsyncByteStream = response.stream

    def __repr__(self) -> str:
        return f"<UpstreamReply {self.status}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def header(self, name: bytes) -> bytes:
        """The value of a header, by its lower-case name; empty when there is none."""
        for found, value in self.headers:
            if found == name:
                return value
        return b""

    async def chunks(self) -> AsyncIterator[bytes]:
        """
        The body's bytes as they arrive, neither joined nor split.

        Raises:
            UpstreamTimeout: The next piece, or the end of it all, did not come in time.
            UpstreamBroken: The reply ended early.
        """
        try:
            async for chunk in self._stream:
                yield chunk
        except httpx2.TransportError as error:
            raise told(error, sent=True) from error

    async def read(self, cap: int) -> bytes:
        """
        The whole body.

        Args:
            cap: How many bytes it may have.

        Raises:
            UpstreamTimeout, UpstreamBroken: As `chunks`; also for a body above the cap.
        """
        pieces: list[bytes] = []
        length = 0
        async for chunk in self.chunks():
            pieces.append(chunk)
            length += len(chunk)
            if length > cap:
                await self.close()
                raise UpstreamBroken(f"the reply is longer than the {cap} bytes it may have")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def close(self) -> None:
        """Done with it; may be said more than once."""
        await self._stream.aclose()


class Upstream:
    """
    OpenAI, or what stands in for it.

    Args:
        base_url: With its path prefix, as in "https://api.openai.com/v1".
        api_key: Ours. It is in no repr, error or log.
        connect_timeout_s: For a connection, and for a free place among `max_connections`.
        first_byte_timeout_s: From sending the request to the reply's status and headers.
        total_timeout_s: For a whole reply.
        max_connections: Calls to OpenAI at one time; more wait in turn.
        progress_timeout_s: Between two pieces of a reply; else as `first_byte_timeout_s`.
        transport: In place of our own; the times are its own affair then.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        connect_timeout_s: float,
        first_byte_timeout_s: float,
        total_timeout_s: float,
        max_connections: int,
        progress_timeout_s: float | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = _base(base_url)
        self._authorization = b"Bearer " + _line("the upstream key", api_key)
        self.transport = transport or Http1Transport(max_connections=max_connections)
        times = {
            "pool": connect_timeout_s,
            "connect": connect_timeout_s,
            "write": first_byte_timeout_s,
            "first_byte": first_byte_timeout_s,
            "read": progress_timeout_s or first_byte_timeout_s,
            "total": total_timeout_s,
        }
        self._extensions = {"timeout": times}

    def __repr__(self) -> str:
        return f"<Upstream {self._base_url}>"

    def endpoint(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        accept: bytes = b"application/json, text/event-stream",
        content_type: bytes | None = b"application/json",
    ) -> UpstreamEndpoint:
        """
        What of the requests to one endpoint never changes.

        Args:
            path: Below the base URL, as in "/chat/completions".
            query: Encoded already; without the question mark.
            content_type: None where there is no body.
        """
        assert path.startswith("/"), path
        assert ".." not in path, path
        url = httpx2.URL(self._base_url + path + (f"?{query}" if query else ""))
        headers: tuple[tuple[bytes, bytes], ...] = (
            (b"host", url.netloc),
            (b"authorization", self._authorization),
            (b"user-agent", USER_AGENT),
            (b"accept", accept),
            # A reply that is packed could not be metered while it is passed on.
            (b"accept-encoding", b"identity"),
        )
        if content_type is not None:
            headers += ((b"content-type", content_type),)
        return UpstreamEndpoint(method, url, headers)

    async def open(
        self, endpoint: UpstreamEndpoint, body: bytes | Spool, *, transaction_id: str
    ) -> UpstreamReply:
        """
        Send one request and wait for the head of the reply.

        A spooled body goes out piece by piece, with the content-type it came with.

        The caller closes the reply, best with `async with`. Nothing is ever sent twice.

        Raises:
            UpstreamUnreachable: Nothing was sent.
            UpstreamTimeout: It was sent, and no answer came in time.
            UpstreamBroken: It was sent, and what came is no answer.
        """
        request = httpx2.Request(
            endpoint.method,
            endpoint.url,
            headers=[
                *(endpoint.headers if isinstance(body, bytes) else _typed(endpoint, body)),
                (b"x-client-request-id", _line("a transaction id", transaction_id)),
                (b"content-length", b"%d" % len(body)),
            ],
            stream=httpx2.ByteStream(body) if isinstance(body, bytes) else LongStream(body),
            extensions=self._extensions,
        )
        try:
            response = await self.transport.handle_async_request(request)
        except httpx2.TransportError as error:
            raise told(error, sent=not isinstance(error, NOTHING_SENT)) from error
        reply = UpstreamReply(response)
        coding = reply.header(b"content-encoding")
        if coding not in (b"", b"identity"):
            await reply.close()
            raise UpstreamBroken(
                "the reply is packed, though it was asked for as it is (accept-encoding: identity)"
            )
        return reply

    def connections(self) -> dict[str, int]:
        """Connections with a call and without one, and calls that wait for one."""
        states = ("active", "idle", "waiting")
        return {state: getattr(self.transport, state, 0) for state in states}

    async def close(self) -> None:
        """Close all connections; calls that still run are cut."""
        await self.transport.aclose()


def told(error: httpx2.TransportError, *, sent: bool) -> UpstreamError:
    """The transport's error in our words; its text names hosts and times, never a header."""
    if not sent:
        return UpstreamUnreachable(f"the upstream cannot be reached: {error}")
    if isinstance(error, httpx2.TimeoutException):
        return UpstreamTimeout(f"the upstream was too slow: {error}")
    return UpstreamBroken(f"the upstream broke off: {error}")


def _typed(endpoint: UpstreamEndpoint, body: Spool) -> list[tuple[bytes, bytes]]:
    """The headers of an endpoint with the content-type of this body."""
    kept = [(name, value) for name, value in endpoint.headers if name != b"content-type"]
    return [*kept, (b"content-type", body.content_type)]


def _line(what: str, value: str) -> bytes:
    """A value as it may stand in a header. The error does not repeat it: it may be the key."""
    if not (value and value.isascii() and value.isprintable()):
        raise ValueError(f"{what} must be one line of printable ASCII, and not empty")
    return value.encode("ascii")


def _base(base_url: str) -> str:
    url = httpx2.URL(base_url)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("the upstream's base URL must begin with http:// or https:// and a host")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("the upstream's base URL must have no user, query or fragment")
    return str(url).rstrip("/")
