"""What is read: where a reply ends, how it is given on, and which one is not trusted."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from gateway.http1 import Http1Transport
from tests.gateway.http1.asking import OK, a_request, ask, chunks_of
from tests.gateway.raw_server import Caller, RawServer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello"),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK, b"ok"),
    ],
)
async def test_body_ends_where_the_head_says(
    transport: Http1Transport, reply: bytes, body: bytes
) -> None:
    """By its length, by its last chunk, or with the connection; interim replies do not count."""
    async with RawServer.answering(reply) as server:
        status, got = await ask(transport, a_request(server))

    assert status in (200, 204)
    assert got == body


async def test_reply_is_the_same_however_its_bytes_are_cut(transport: Http1Transport) -> None:
    """The network may cut anywhere, within a header or a chunk's length too."""
    reply = (
        b"HTTP/1.1 201 Made\r\nX-A: b\r\ntransfer-encoding: chunked\r\n\r\n"
        b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    )

    async def one_by_one(caller: Caller) -> None:
        await caller.request()
        for byte in reply:
            await caller.says(bytes([byte]))
            await asyncio.sleep(0)

    async with RawServer.talking(one_by_one) as server:
        response = await transport.handle_async_request(a_request(server))
        body = b"".join(await chunks_of(response))

    assert response.status_code == 201
    assert response.headers["x-a"] == "b"
    assert body == b"hello world"


async def test_chunk_is_given_on_before_the_next_one_is_sent(transport: Http1Transport) -> None:
    """Nothing is held back to be joined with what comes later."""
    read = asyncio.Event()

    async def wait_for_the_reader(caller: Caller) -> None:
        await caller.request()
        await caller.says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await read.wait()
        await caller.says(b"3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n")

    async with RawServer.talking(wait_for_the_reader) as server:
        response = await transport.handle_async_request(a_request(server))
        chunks = []
        async for chunk in response.stream:  # type: ignore[union-attr]
            chunks.append(chunk)
            read.set()

    assert chunks[0] == b"one"
    assert b"".join(chunks[1:]) == b"twothree"


BROKEN = {
    "closed without a word": b"",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "another version": b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "no number for a status": b"HTTP/1.1 abc OK\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk",
    "one length twice": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
    "a length and chunks": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\n\r\n"
    ),
    "chunks in HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    ),
    "another coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a length below zero": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nok",
    "a line break in a value": b"HTTP/1.1 200 OK\r\nx-a: b\rc\r\ncontent-length: 2\r\n\r\nok",
    "a zero byte in a value": b"HTTP/1.1 200 OK\r\nx-a: b\0c\r\ncontent-length: 2\r\n\r\nok",
    "a head without an end": b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 70_000,
    "a head that is too long": (
        b"HTTP/1.1 200 OK\r\n" + b"x-a: %b\r\n" % (b"a" * 8000) * 9 + b"\r\n"
    ),
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 200 + b"\r\n",
    "too many interim replies": b"HTTP/1.1 103 Hints\r\nx-a: bcdefgh\r\n\r\n" * 4000,
    "cut within its length": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
    "cut within a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe",
    "cut before the last chunk": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
    ),
    "no number for a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nhe\r\n",
    "a chunk of 2^70 bytes": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffffff\r\nhe\r\n"
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-a: b\r\n\r\n"
    ),
}


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN.keys())
async def test_reply_that_cannot_be_trusted_is_an_error(
    transport: Http1Transport, reply: bytes
) -> None:
    """What two readers could understand in two ways is read by neither."""
    async with RawServer.answering(reply) as server:
        with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
            await ask(transport, a_request(server))

    assert transport.active == 0
    assert transport.idle == 0
    assert len(server.requests) == 1


async def test_reset_connection_is_an_error(transport: Http1Transport) -> None:
    """A server that dies in the middle of a reply leaves an error, after what it sent."""

    async def dies(caller: Caller) -> None:
        await caller.request()
        await caller.says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello")
        await caller.reader.read(1)
        caller.writer.transport.abort()

    async with RawServer.talking(dies) as server:
        response = await transport.handle_async_request(a_request(server))
        body = aiter(response.stream)  # type: ignore[arg-type]
        first = await anext(body)
        # The server waits for one more byte: it dies when we have read.
        next(iter(transport._connections))._transport.write(b"!")  # type: ignore[union-attr]
        with pytest.raises(httpx2.TransportError):
            await anext(body)

    assert first == b"hello"
