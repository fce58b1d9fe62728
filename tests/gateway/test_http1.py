"""The way out: what goes over a connection, who may use it, and when it is closed."""

from __future__ import annotations

import asyncio
import random
import ssl
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.http1 import Http1Transport
from gateway.http1_reply import MOST_HELD_BYTES
from tests.gateway.raw_server import Caller, RawServer

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SILENT_S = 0.05  # For time-outs that a test waits for.
PATIENT = {"connect": 10.0, "pool": 10.0, "read": 10.0, "total": 20.0}
CERTIFICATE = Path(__file__).with_name("localhost.pem")


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The gateway runs on uvloop, and on asyncio where there is none."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def transport() -> AsyncIterator[Http1Transport]:
    """A transport that must have nothing left to do at the end."""
    transport = Http1Transport(max_connections=4)
    yield transport
    await transport.aclose()

    assert transport.active == 0
    assert transport.waiting == 0


def a_request(
    server: RawServer | None, body: bytes = b"{}", *, host: str = "", **limits: float | None
) -> httpx2.Request:
    """A POST to the server, which waits as long as `limits` say."""
    port = server.port if server else 1
    url = httpx2.URL(host or f"http://127.0.0.1:{port}/v1/x")
    return httpx2.Request(
        "POST",
        url,
        headers=[(b"host", url.netloc)],
        stream=httpx2.ByteStream(body),
        extensions={"timeout": PATIENT | limits},
    )


async def ask(transport: Http1Transport, request: httpx2.Request) -> tuple[int, bytes]:
    """The status and the whole body."""
    response = await transport.handle_async_request(request)
    return response.status_code, b"".join(await chunks_of(response))


async def chunks_of(response: httpx2.Response) -> list[bytes]:
    """The body, as it came."""
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    return [chunk async for chunk in response.stream]


# What is read


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


# What is written


async def test_request_goes_out_as_it_was_given(transport: Http1Transport) -> None:
    """Target, headers and body, and nothing that was not asked for."""
    async with RawServer.answering(OK) as server:
        request = a_request(server, b'{"a":1}')
        request.headers["x-b"] = "c"
        await ask(transport, request)

    assert server.requests == [
        b"POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nx-b: c\r\n"
        b'content-length: 7\r\n\r\n{"a":1}' % server.port
    ]


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0b"])
async def test_header_with_a_line_break_is_refused(transport: Http1Transport, value: str) -> None:
    """Nobody can add a header, or a request, by way of a header's value."""
    async with RawServer.answering(OK) as server:
        request = a_request(server)
        request.headers["x-a"] = value
        with pytest.raises(httpx2.LocalProtocolError):
            await ask(transport, request)

    assert server.connections == 0


async def test_large_body_arrives_whole(transport: Http1Transport) -> None:
    """A body larger than every buffer on the way."""
    body = random.Random(7).randbytes(8_000_000)
    async with RawServer.answering(OK) as server:
        await ask(transport, a_request(server, body))

    assert server.requests[0].endswith(body)


# Which connection is used


async def test_connection_is_used_again(transport: Http1Transport) -> None:
    """A reply that was read to its end leaves the connection for the next call."""
    async with RawServer.answering(OK, OK, OK) as server:
        for _ in range(3):
            await ask(transport, a_request(server))

    assert server.connections == 1


async def test_connection_used_last_is_used_next(transport: Http1Transport) -> None:
    """Under little load the other connections grow old and are closed."""
    together = asyncio.Barrier(3)
    ports: list[int] = []

    async def meet(caller: Caller) -> None:
        port = caller.writer.get_extra_info("peername")[1]
        while await caller.request():
            ports.append(port)
            if len(ports) <= 3:
                await together.wait()
            await caller.says(OK)

    async with RawServer.talking(meet) as server:
        await asyncio.gather(*[ask(transport, a_request(server)) for _ in range(3)])
        for _ in range(3):
            await ask(transport, a_request(server))

    assert len(set(ports[:3])) == 3
    assert len(set(ports[3:])) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        OK + b"more",
    ],
    ids=["close", "until the end", "HTTP/1.0", "too soon", "two replies", "surplus"],
)
async def test_connection_is_not_used_again_when_the_reply_says_so(
    transport: Http1Transport, reply: bytes
) -> None:
    """Nor when more came than was asked for: that would be the answer to the next call."""
    ends_with_connection = b"content-length" not in reply
    async with RawServer.answering(*[reply] * (1 if ends_with_connection else 2)) as server:
        first = await ask(transport, a_request(server))
        second = await ask(transport, a_request(server))

    assert first == second == (200, b"ok")
    assert server.connections == 2


async def test_bytes_that_nobody_asked_for_close_an_idle_connection(
    transport: Http1Transport,
) -> None:
    """They must never be taken for the reply to the next request."""
    speak = asyncio.Event()

    async def impatient(caller: Caller) -> None:
        await caller.request()
        await caller.says(OK)
        await speak.wait()
        await caller.says(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        assert await caller.is_gone()

    async with RawServer.talking(impatient) as server:
        await ask(transport, a_request(server))
        speak.set()
        while transport.idle:
            await asyncio.sleep(0)

    assert transport.idle == 0


async def test_stale_connection_is_left_alone(transport: Http1Transport) -> None:
    """One that the server has closed is noticed before anything is written to it."""
    async with RawServer.answering(OK) as server:
        for _ in range(20):
            await ask(transport, a_request(server))

    assert len(server.requests) == 20
    assert server.connections == 20


async def test_request_that_may_have_arrived_is_never_sent_again(
    transport: Http1Transport,
) -> None:
    """A server that takes a call on a kept connection and closes may have acted on it."""
    seen: list[bytes] = []

    async def closes_on_the_second(caller: Caller) -> None:
        seen.append(await caller.request())
        await caller.says(OK)
        seen.append(await caller.request())

    async with RawServer.talking(closes_on_the_second) as server:
        await ask(transport, a_request(server))
        with pytest.raises(httpx2.RemoteProtocolError, match="without a reply"):
            await ask(transport, a_request(server))

    assert len(seen) == 2
    assert server.connections == 1


async def test_early_reply_to_a_large_body_leaves_no_connection(
    transport: Http1Transport,
) -> None:
    """The rest of the body would be the beginning of the next request."""

    async def refuses_at_once(caller: Caller) -> None:
        await caller.reader.readuntil(b"\r\n\r\n")
        await caller.says(b"HTTP/1.1 413 Large\r\ncontent-length: 2\r\n\r\nno")
        await caller.reader.read()

    async with RawServer.talking(refuses_at_once) as server:
        status, _ = await ask(transport, a_request(server, bytes(20_000_000)))

    assert status == 413
    assert transport.idle == 0


async def test_closing_before_the_end_closes_the_connection(transport: Http1Transport) -> None:
    """Half a reply on a connection would be read as the next one."""
    gone = asyncio.Event()

    async def streams(caller: Caller) -> None:
        await caller.request()
        await caller.says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        if await caller.is_gone():
            gone.set()

    async with RawServer.talking(streams) as server:
        response = await transport.handle_async_request(a_request(server))
        await response.stream.aclose()  # type: ignore[union-attr]
        await asyncio.wait_for(gone.wait(), 10)

    assert transport.active == 0
    assert transport.idle == 0


# How long it takes


async def test_server_that_says_nothing_is_waited_for_until_the_first_byte_is_due(
    transport: Http1Transport,
) -> None:
    """A call that was sent and not answered is an error of its own kind."""

    async def silent(caller: Caller) -> None:
        await caller.request()
        await caller.is_gone()

    async with RawServer.talking(silent) as server:
        with pytest.raises(httpx2.ReadTimeout, match="no reply came"):
            await ask(transport, a_request(server, first_byte=SILENT_S))


async def test_head_that_trickles_is_no_first_byte(transport: Http1Transport) -> None:
    """The status and the headers must be there in time, not their first letter."""

    async def trickles(caller: Caller) -> None:
        await caller.request()
        await caller.says(b"HTTP/1.1 200 OK\r\n")
        while not caller.writer.is_closing():
            await caller.says(b"x: y\r\n")
            await asyncio.sleep(SILENT_S / 5)

    async with RawServer.talking(trickles) as server:
        with pytest.raises(httpx2.ReadTimeout, match="no reply came"):
            await ask(transport, a_request(server, first_byte=SILENT_S))


async def test_stream_that_falls_silent_is_ended(transport: Http1Transport) -> None:
    """What had come is given on first."""

    async def falls_silent(caller: Caller) -> None:
        await caller.request()
        await caller.says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await caller.is_gone()

    async with RawServer.talking(falls_silent) as server:
        response = await transport.handle_async_request(a_request(server, read=SILENT_S))
        body = aiter(response.stream)  # type: ignore[arg-type]
        first = await anext(body)
        with pytest.raises(httpx2.ReadTimeout, match="nothing more"):
            await anext(body)

    assert first == b"one"


async def test_stream_that_never_ends_is_ended(transport: Http1Transport) -> None:
    """A server that sends a byte now and then cannot hold a call for ever."""

    async def trickles(caller: Caller) -> None:
        await caller.request()
        await caller.says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not caller.writer.is_closing():
            await caller.says(b"1\r\n.\r\n")
            await asyncio.sleep(SILENT_S / 10)

    async with RawServer.talking(trickles) as server:
        with pytest.raises(httpx2.ReadTimeout, match="took longer"):
            await ask(transport, a_request(server, read=SILENT_S * 4, total=SILENT_S * 2))


async def test_slow_reader_is_not_hurried_and_fills_no_memory(
    transport: Http1Transport,
) -> None:
    """Reading stops when enough waits to be read, and the silence is not the server's then."""
    size = 30_000_000

    async def sends_much(caller: Caller) -> None:
        await caller.request()
        await caller.says(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(30):
            await caller.says(bytes(size // 30))

    async with RawServer.talking(sends_much) as server:
        response = await transport.handle_async_request(a_request(server, read=SILENT_S))
        await asyncio.sleep(SILENT_S * 4)
        held = response.stream._held_bytes  # type: ignore[union-attr]
        received = sum(map(len, await chunks_of(response)))

    # One read of the socket may go over the mark.
    assert held <= MOST_HELD_BYTES + 256 * 1024
    assert received == size


async def test_unreachable_server_is_an_error_of_connecting(transport: Http1Transport) -> None:
    """Refused, or unknown: nothing was sent."""
    with pytest.raises(httpx2.ConnectError):
        await ask(transport, a_request(None))
    with pytest.raises(httpx2.ConnectError):
        await ask(transport, a_request(None, host="http://no-such-host.invalid/"))
    with pytest.raises(httpx2.UnsupportedProtocol):
        await ask(transport, a_request(None, host="ftp://127.0.0.1/"))


async def test_connecting_takes_no_longer_than_it_may(transport: Http1Transport) -> None:
    """TLS counts as connecting: here the server never shakes hands."""

    async def silent(caller: Caller) -> None:
        await caller.reader.read()

    async with RawServer.talking(silent) as server:
        slow = a_request(None, host=f"https://127.0.0.1:{server.port}/", connect=SILENT_S)
        with pytest.raises(httpx2.ConnectTimeout):
            await ask(transport, slow)


# How many at once


async def test_calls_beyond_the_limit_wait_in_turn() -> None:
    """First come, first served, and never more connections than allowed."""
    transport = Http1Transport(max_connections=2)
    served: list[bytes] = []
    together = 0
    most = 0

    async def counts(caller: Caller) -> None:
        nonlocal together, most
        while request := await caller.request():
            together += 1
            most = max(most, together)
            served.append(request.rpartition(b"\r\n")[2])
            await asyncio.sleep(0.001)
            together -= 1
            await caller.says(OK)

    async with RawServer.talking(counts) as server:
        calls = [ask(transport, a_request(server, b"%02d" % number)) for number in range(40)]
        await asyncio.gather(*calls)
        idle = transport.idle
        await transport.aclose()

    assert most == 2
    assert idle == 2
    # Two at a time: each may be one place off, and no more.
    assert all(abs(int(number) - place) <= 1 for place, number in enumerate(served))


async def test_waiting_for_a_connection_takes_no_longer_than_it_may() -> None:
    """A call that found no connection was not sent, and the next one is not in its way."""
    transport = Http1Transport(max_connections=1)
    go_on = asyncio.Event()

    async def waits(caller: Caller) -> None:
        while await caller.request():
            await go_on.wait()
            await caller.says(OK)

    async with RawServer.talking(waits) as server:
        first = asyncio.create_task(ask(transport, a_request(server)))
        while not transport.active:
            await asyncio.sleep(0)
        with pytest.raises(httpx2.PoolTimeout):
            await ask(transport, a_request(server, pool=SILENT_S))
        last = asyncio.create_task(ask(transport, a_request(server)))
        go_on.set()
        answers = [await first, await last]
        await transport.aclose()

    assert answers == [(200, b"ok"), (200, b"ok")]
    assert transport.active == 0


async def test_cancelled_call_gives_its_place_back(transport: Http1Transport) -> None:
    """Wherever it was: waiting, connecting, sending, reading. 500 calls, each left somewhere."""
    chance = random.Random(2026)

    async def streams(caller: Caller) -> None:
        while await caller.request():
            await caller.says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(5):
                await caller.says(b"4\r\ntext\r\n")
                await asyncio.sleep(0)
            await caller.says(b"0\r\n\r\n")

    async def call(server: RawServer) -> None:
        response = await transport.handle_async_request(a_request(server))
        try:
            await chunks_of(response)
        finally:
            await response.stream.aclose()  # type: ignore[union-attr]

    async def left_after(turns: int, server: RawServer) -> None:
        task = asyncio.create_task(call(server))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async with RawServer.talking(streams) as server:
        for _ in range(50):
            calls = [left_after(chance.randrange(40), server) for _ in range(10)]
            await asyncio.gather(*calls)
        active, waiting = transport.active, transport.waiting
        status, body = await ask(transport, a_request(server))

    assert (active, waiting) == (0, 0)
    assert (status, body) == (200, b"text" * 5)


async def test_cancelled_call_closes_its_connection(transport: Http1Transport) -> None:
    """The server is told by the end of the connection that nobody waits any more."""
    asked, gone = asyncio.Event(), asyncio.Event()

    async def silent(caller: Caller) -> None:
        await caller.request()
        asked.set()
        if await caller.is_gone():
            gone.set()

    async with RawServer.talking(silent) as server:
        call = asyncio.create_task(ask(transport, a_request(server)))
        await asked.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        active = transport.active
        await asyncio.wait_for(gone.wait(), 10)

    assert active == 0


async def test_place_given_in_the_moment_of_a_cancel_goes_to_the_next() -> None:
    """A slot that was handed over and not taken is not lost."""
    transport = Http1Transport(max_connections=1)

    async def never_ends_the_first(caller: Caller) -> None:
        while request := await caller.request():
            await caller.says(OK if request.endswith(b"{}") else OK[:-1])

    async with RawServer.talking(never_ends_the_first) as server:
        first = await transport.handle_async_request(a_request(server, b"first"))
        waiting = [asyncio.create_task(ask(transport, a_request(server))) for _ in range(2)]
        while transport.waiting < 2:
            await asyncio.sleep(0)
        await first.stream.aclose()  # type: ignore[union-attr]
        waiting[0].cancel()
        answer = await asyncio.wait_for(waiting[1], 10)
        await transport.aclose()

    assert answer == (200, b"ok")
    assert transport.active == 0


async def test_closing_cuts_what_runs(transport: Http1Transport) -> None:
    """A call that still waits is told, and nothing stays open."""

    async def silent(caller: Caller) -> None:
        await caller.request()
        await caller.is_gone()

    async with RawServer.talking(silent) as server:
        call = asyncio.create_task(ask(transport, a_request(server)))
        while not server.connections:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await transport.aclose()
        with pytest.raises(httpx2.TransportError):
            await call

    assert transport.active == 0


# TLS


async def test_tls_is_spoken_with_a_server_whose_certificate_is_trusted() -> None:
    """The name is sent along, so that a server with many names knows which one is meant."""
    names: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    tls.sni_callback = lambda _, name, __: names.append(name)
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    transport = Http1Transport(max_connections=4, ssl_context=trusting)

    async def talk(caller: Caller) -> None:
        while await caller.request():
            await caller.says(OK)

    async with RawServer.talking(talk, tls=tls) as server:
        for _ in range(3):
            request = a_request(None, host=f"https://localhost:{server.port}/")
            answer = await ask(transport, request)
        connections = server.connections
        await transport.aclose()

    assert answer == (200, b"ok")
    assert connections == 1
    assert names == ["localhost"]


async def test_tls_server_that_is_not_trusted_gets_nothing(transport: Http1Transport) -> None:
    """The key must not go to whoever answers."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    heard: list[bytes] = []

    async def talk(caller: Caller) -> None:
        heard.append(await caller.request())

    async with RawServer.talking(talk, tls=tls) as server:
        with pytest.raises(httpx2.ConnectError):
            await ask(transport, a_request(None, host=f"https://localhost:{server.port}/"))

    assert not any(heard)


# The seam


async def test_stock_client_can_use_it(transport: Http1Transport) -> None:
    """It is a transport like any other: httpx2's client unpacks and reads as ever."""
    packed = zlib.compress(b"hello")
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\ncontent-length: %d\r\n\r\n"
    async with (
        RawServer.answering(head % len(packed) + packed) as server,
        httpx2.AsyncClient(transport=transport) as client,
    ):
        response = await client.post(f"http://127.0.0.1:{server.port}/", json={"a": 1})

    assert response.text == "hello"
    assert server.requests[0].endswith(b'{"a":1}')
