"""Outgoing: a request as it goes over the wire."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx2

from gateway.http1_upload import LongBody, LongStream


@dataclass(frozen=True, slots=True)
class Outgoing:
    """
    The bytes of one request; its repr shows none, for they hold our key and a prompt.

    `long` is a body that is written piece by piece, after the head; `body` is empty then.
    """

    head: bytes = field(repr=False)
    body: bytes = field(repr=False)
    long: LongBody | None = field(default=None, repr=False)

    @classmethod
    async def of(cls, request: httpx2.Request) -> Outgoing:
        """
        Write the request down, its body with a content-length.

        Raises:
            LocalProtocolError: It has no host, or a header that would end the line it is on.
        """
        stream = request.stream
        if isinstance(stream, LongStream):
            return cls(_head(request, len(stream.body)), b"", stream.body)
        body = (
            request.read() if isinstance(stream, httpx2.SyncByteStream) else await request.aread()
        )
        return cls(_head(request, len(body)), body)


def _head(request: httpx2.Request, body_bytes: int) -> bytes:
    method = request.method.encode("ascii")
    lines = [b"%b %b HTTP/1.1" % (method, request.url.raw_path)]
    has_host = False
    for name, value in request.headers.raw:
        lowered = name.lower()
        if lowered in (b"content-length", b"transfer-encoding", b"connection"):
            continue
        has_host = has_host or lowered == b"host"
        lines.append(b"%b: %b" % (name, value))
    if body_bytes or method not in (b"GET", b"DELETE"):
        lines.append(b"content-length: %d" % body_bytes)
    if not has_host:
        raise httpx2.LocalProtocolError("a request needs a host header")
    if method in (b"HEAD", b"CONNECT"):
        raise httpx2.LocalProtocolError(f"{request.method} is not spoken here")
    breaks = len(lines) - 1
    text = b"\r\n".join(lines)
    if text.count(b"\n") != breaks or text.count(b"\r") != breaks or b"\0" in text:
        raise httpx2.LocalProtocolError("a header has a line break or a zero byte in it")
    return text + b"\r\n\r\n"
