"""One connection to Redis: where it goes, and that no answer is ever taken for another."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hiredis
import pytest
import uvloop

from storage.redis_wire import NotConnected, Wire
from storage.scripts import connect
from tests.storage.redis_door import RedisDoor

pytestmark = pytest.mark.anyio

CERTIFICATE = Path(__file__).parents[1] / "gateway" / "localhost.pem"


@asynccontextmanager
async def wired(url: str, *, answer_within_s: float = 5.0) -> AsyncIterator[Wire]:
    """A wire to where a client of this URL would go."""
    client = connect(url)
    wire = await Wire.open(client, answer_within_s=answer_within_s)
    yield wire
    wire.close()
    await client.aclose()


@asynccontextmanager
async def saying(words: bytes) -> AsyncIterator[int]:
    """A server that says this to everybody who connects; gives its port."""

    def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)

    server = await asyncio.start_server(say, "localhost", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.001)


async def test_commands_come_back_in_their_order(redis_url: str) -> None:
    """An error is an answer like another, in its place."""
    async with wired(redis_url) as wire:
        first = wire.send([("SET", "a", "ä"), ("GET", "a"), ("INCR", "a")])
        second = wire.send([("GET", "b")])

        replies = await first
        assert replies[:2] == ["OK", "ä"]
        assert isinstance(replies[2], hiredis.ReplyError)
        assert await second == [None]


async def test_an_answer_that_nobody_waits_for_any_more_is_dropped(redis_url: str) -> None:
    """And the next one is the next one's."""
    async with wired(redis_url) as wire:
        first, second = wire.send([("ECHO", "one")]), wire.send([("ECHO", "two")])
        first.cancel()

        assert await second == ["two"]
        assert wire.is_open


async def test_tcp_and_a_database_of_the_url(redis_url: str) -> None:
    """As redis-py reads it."""
    async with (
        RedisDoor.to(redis_url) as door,
        wired(f"redis://localhost:{door.port}/7") as wire,
    ):
        (said,) = await wire.send([("CLIENT", "INFO")])

    assert " db=7 " in said


async def test_tls_is_spoken_where_the_url_says_so(redis_url: str) -> None:
    """Checked against the given authority; without it nobody is connected."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE)
    async with RedisDoor.to(redis_url, tls=tls) as door:
        url = f"rediss://localhost:{door.port}"
        async with wired(f"{url}?ssl_ca_certs={CERTIFICATE}") as wire:
            assert await wire.send([("PING",)]) == ["PONG"]

        with pytest.raises(NotConnected):
            await Wire.open(connect(url), answer_within_s=5)


async def test_a_wrong_password_is_told_without_it(redis_url: str) -> None:
    """Who reads the log must not learn what was tried."""
    secret = "open-sesame"
    path = redis_url.removeprefix("unix://")

    with pytest.raises(NotConnected) as refused:
        await Wire.open(connect(f"unix://somebody:{secret}@{path}"), answer_within_s=5)

    assert secret not in str(refused.value)


async def test_nobody_there_is_no_connection(tmp_path: Path) -> None:
    """Nothing was sent, and that is known."""
    with pytest.raises(NotConnected):
        await Wire.open(connect(f"unix://{tmp_path}/redis.sock"), answer_within_s=5)


async def test_who_waits_is_told_that_the_connection_was_lost(redis_url: str) -> None:
    """What was sent may have run; what is sent after that is not sent."""
    async with RedisDoor.to(redis_url) as door:
        door.cuts = 1
        async with wired(f"redis://localhost:{door.port}") as wire:
            with pytest.raises(ConnectionError, match="lost"):
                await wire.send([("PING",)])

            assert not wire.is_open
            with pytest.raises(NotConnected):
                wire.send([("PING",)])


async def test_silence_ends_the_connection(redis_url: str) -> None:
    """What Redis would say late could be taken for the answer to something else."""
    async with RedisDoor.to(redis_url) as door:
        url = f"redis://localhost:{door.port}"
        async with wired(url, answer_within_s=0.05) as wire:
            door.answers_pass.clear()
            first, second = wire.send([("PING",)]), wire.send([("GET", "a")])

            with pytest.raises(TimeoutError):
                await first
            with pytest.raises(TimeoutError):
                await second
            assert not wire.is_open
            await _until(lambda: not door.inside)


@pytest.mark.parametrize("words", [b"-ERR max number of clients reached\r\n", b"HTTP/1.1 400\r\n"])
async def test_words_that_nobody_asked_for_end_the_connection(words: bytes) -> None:
    """They must never be the answer to the next command."""
    async with saying(words) as port, wired(f"redis://localhost:{port}") as wire:
        await _until(lambda: not wire.is_open)

        with pytest.raises(NotConnected):
            wire.send([("PING",)])


def test_a_process_that_was_busy_finds_its_answer(redis_url: str) -> None:
    """uvloop rings its timers before it reads on: we were silent, and not Redis."""

    async def busy() -> list[Any]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()

        def work() -> None:
            loop.remove_reader(ours)
            time.sleep(0.2)

        with ours, theirs:
            async with wired(redis_url, answer_within_s=0.1) as wire:
                loop.add_reader(ours, work)
                theirs.send(b"!")
                return await wire.send([("PING",)])

    assert uvloop.run(busy()) == ["PONG"]
