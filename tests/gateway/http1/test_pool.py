"""How many at once: calls wait in turn, and whoever leaves gives its place back."""

from __future__ import annotations

import asyncio
import random

import httpx2
import pytest

from gateway.http1 import Http1Transport
from tests.gateway.http1.asking import OK, SILENT_S, a_request, ask, chunks_of
from tests.gateway.raw_server import Caller, RawServer

pytestmark = pytest.mark.anyio


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
