"""How long it takes: the first byte, the silence between two, the whole; never a slow reader."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from gateway.http1 import Http1Transport
from gateway.http1_reply import MOST_HELD_BYTES
from tests.gateway.http1.asking import SILENT_S, a_request, ask, chunks_of
from tests.gateway.raw_server import Caller, RawServer

pytestmark = pytest.mark.anyio


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
