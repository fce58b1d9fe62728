"""A long body goes out piece by piece, no faster than the server takes it, and exactly as long."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import httpx2
import pytest

from gateway.http1 import Http1Transport
from gateway.http1_upload import LongStream
from tests.gateway.http1.asking import OK, SILENT_S, a_request, ask
from tests.gateway.raw_server import Caller, RawServer

pytestmark = pytest.mark.anyio

PIECE = random.Random(2).randbytes(100_000)


class Body:
    """So many pieces; `said` is what it says of its length, `taken` how many were asked for."""

    def __init__(self, count: int, *, said: int | None = None, breaks_at: int | None = None):
        self.count = count
        self.said = count * len(PIECE) if said is None else said
        self.breaks_at = breaks_at
        self.taken = 0

    def __len__(self) -> int:
        return self.said

    async def pieces(self) -> AsyncIterator[bytes]:
        for number in range(self.count):
            if number == self.breaks_at:
                raise OSError("the disk is gone")
            self.taken += 1
            yield PIECE


def upload(server: RawServer, body: Body, *, first_byte: float | None = None) -> httpx2.Request:
    limits = {} if first_byte is None else {"first_byte": first_byte}
    request = a_request(server, b"", host="", **limits)
    request.stream = LongStream(body)
    return request


async def test_a_long_body_arrives_whole_and_the_connection_is_kept(
    transport: Http1Transport,
) -> None:
    """With its length in the head; the next request goes the same way."""
    async with RawServer.answering(OK, OK, OK) as server:
        for _ in range(2):
            assert await ask(transport, upload(server, Body(50))) == (200, b"ok")
        await ask(transport, a_request(server))

    assert server.connections == 1
    assert server.requests[0].endswith(b"content-length: 5000000\r\n\r\n" + PIECE * 50)
    assert server.requests[1].endswith(b"\r\n\r\n" + PIECE * 50)


async def test_a_body_is_read_no_faster_than_the_server_reads(transport: Http1Transport) -> None:
    """A server that waits is given what the sockets between hold, and not the whole of it."""
    may_read = asyncio.Event()

    async def talk(caller: Caller) -> None:
        await may_read.wait()
        await caller.request()
        await caller.says(OK)

    body = Body(1_000)
    async with RawServer.talking(talk) as server:
        asking = asyncio.ensure_future(ask(transport, upload(server, body)))
        taken = -1
        while taken != body.taken or not taken:
            taken = body.taken
            for _ in range(200):
                await asyncio.sleep(0)
        assert body.taken < 200, "100 MB were not read to be kept"
        may_read.set()
        assert await asking == (200, b"ok")

    assert body.taken == 1_000


async def test_an_answer_before_the_end_ends_the_upload(transport: Http1Transport) -> None:
    """The rest is not sent, and nobody else gets a connection on which it would follow."""

    async def talk(caller: Caller) -> None:
        await caller.reader.readuntil(b"\r\n\r\n")
        await caller.says(OK)
        await caller.is_gone()

    body = Body(1_000)
    async with RawServer.talking(talk) as server:
        assert await ask(transport, upload(server, body)) == (200, b"ok")
        assert transport.idle == 0

    assert body.taken < 1_000


async def test_an_answer_to_half_a_body_leaves_no_connection_behind(
    transport: Http1Transport,
) -> None:
    """All that was read of the body has gone out; the next request would be taken for the rest."""

    class Waiting(Body):
        async def pieces(self) -> AsyncIterator[bytes]:
            yield PIECE
            await asyncio.Event().wait()

    async def talk(caller: Caller) -> None:
        await caller.reader.readuntil(b"\r\n\r\n")
        await caller.reader.readexactly(len(PIECE))
        await caller.says(OK)
        await caller.is_gone()

    async with RawServer.talking(talk) as server:
        assert await ask(transport, upload(server, Waiting(2))) == (200, b"ok")
        assert transport.idle == 0


@pytest.mark.parametrize(
    "body",
    [
        Body(3, said=3 * len(PIECE) + 1),
        Body(3, said=3 * len(PIECE) - 1),
        Body(3, breaks_at=1),
    ],
    ids=["shorter", "longer", "unreadable"],
)
async def test_a_body_that_is_not_what_it_said_is_cut(
    transport: Http1Transport, body: Body
) -> None:
    """Nothing can follow it, and the server never has a whole request."""
    got = bytearray()
    gone = asyncio.Event()

    async def talk(caller: Caller) -> None:
        try:
            while piece := await caller.reader.read(65_536):
                got.extend(piece)
        finally:
            gone.set()

    async with RawServer.talking(talk) as server:
        with pytest.raises(httpx2.WriteError):
            await ask(transport, upload(server, body))
        await gone.wait()

    assert len(got.partition(b"\r\n\r\n")[2]) < len(body)
    assert transport.idle == 0


async def test_a_caller_who_leaves_ends_the_upload(transport: Http1Transport) -> None:
    """The connection is closed, and its place is free."""
    met = asyncio.Event()
    gone = asyncio.Event()

    async def talk(caller: Caller) -> None:
        met.set()
        await asyncio.sleep(0)
        while await caller.reader.read(1 << 20):
            pass
        gone.set()

    body = Body(10**9)
    async with RawServer.talking(talk) as server:
        asking = asyncio.ensure_future(ask(transport, upload(server, body)))
        await met.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await gone.wait()

    assert transport.active == 0


async def test_a_server_that_reads_nothing_runs_out_of_time(transport: Http1Transport) -> None:
    """The wait for its reply begins again with each piece it takes, and with none it ends."""

    async def talk(caller: Caller) -> None:
        await asyncio.Event().wait()

    async with RawServer.talking(talk) as server:
        with pytest.raises(httpx2.ReadTimeout):
            await ask(transport, upload(server, Body(10**6), first_byte=SILENT_S))
