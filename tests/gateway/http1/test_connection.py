"""Which connection is used: one that is fresh or whole, and never one that is in doubt."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from gateway.http1 import Http1Transport
from tests.gateway.http1.asking import OK, a_request, ask
from tests.gateway.raw_server import Caller, RawServer

pytestmark = pytest.mark.anyio


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
