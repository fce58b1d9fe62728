"""Callers that count what fails: a peer's figure is never that of an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import chain, repeat

import pytest

from benchmarks.callers import Callers, CallFailed, Request
from benchmarks.forgiving import ForgivingCallers

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SHORT = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\no"
BAD = b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno"
BAD_AND_GONE = b"HTTP/1.1 500 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
GONE = b""

pytestmark = pytest.mark.anyio

REQUEST = Request.of(b"{}", key="any", reply_bytes=2)


@asynccontextmanager
async def answering(replies: Iterator[bytes]) -> AsyncIterator[int]:
    """A server that gives these replies in turn, and hangs up where one is empty."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n{}")
                reply = next(replies, GONE)
                writer.write(reply)
                if reply in (GONE, BAD_AND_GONE):
                    return
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def then_good(*replies: bytes) -> Iterator[bytes]:
    return chain(replies, repeat(GOOD))


@pytest.mark.parametrize("bad", [BAD, BAD_AND_GONE, GONE, SHORT])
async def test_what_fails_is_counted_and_the_rest_is_made(bad: bytes) -> None:
    """A reply that is not as it should be, or a lost connection, is one failed call."""
    async with (
        answering(then_good(GOOD, bad, GOOD, bad)) as port,
        ForgivingCallers.connected(port, REQUEST, 2) as callers,
    ):
        await callers.make(20, within_s=10)

    assert (callers.made, callers.failures.total()) == (18, 2)


async def test_the_last_call_may_fail_too() -> None:
    """A run ends when its last call has ended, whichever way."""
    async with (
        answering(iter([GOOD, GONE])) as port,
        ForgivingCallers.connected(port, REQUEST, 1) as callers,
    ):
        await callers.make(2, within_s=10)

    assert (callers.made, callers.failures.total()) == (1, 1)


async def test_a_server_that_has_died_fails_what_is_left() -> None:
    """Calls for which there is no connection have failed; nobody waits for them."""
    async with answering(iter([GOOD])) as port:
        connected = ForgivingCallers.connected(port, REQUEST, 1)
        callers = await connected.__aenter__()
        await callers.make(1, within_s=10)
    await callers.make(3, within_s=10)
    await connected.__aexit__(None, None, None)

    assert callers.made == 1
    assert callers.failures.total() == 3


@pytest.mark.parametrize("bad", [BAD, GONE, SHORT])
async def test_ours_may_not_fail_once(bad: bytes) -> None:
    """The callers of our own systems end the run at the first wrong reply."""
    async with (
        answering(then_good(GOOD, bad)) as port,
        Callers.connected(port, REQUEST, 2) as callers,
    ):
        with pytest.raises(CallFailed):
            await callers.make(20, within_s=10)
