"""The relay: a reply is read on for a caller who has left, but neither long nor often."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.dev.stub_gates import Turnstile
from gateway.relay import Drains
from metering.money import Credits
from tests.gateway.raw_server import Caller as RawCaller
from tests.gateway.raw_server import RawServer
from tests.house import House, open_house
from tests.one_house import set_up

RECORDED = Path(__file__).parents[1] / "recorded"

pytestmark = pytest.mark.anyio


class Caller:
    """Whether the caller is still there, as ASGI tells it."""

    def __init__(self) -> None:
        self._gone = asyncio.Event()

    def leaves(self) -> None:
        self._gone.set()

    async def __call__(self) -> dict[str, object]:
        await self._gone.wait()
        return {"type": "http.disconnect"}


async def endless(drains: Drains, caller: Caller) -> None:
    """A reply without an end, whose caller leaves."""
    async with drains.bounded(caller):
        caller.leaves()
        await asyncio.Event().wait()


async def test_while_the_caller_is_there_nothing_is_bounded():
    """However short the drain is."""
    drains = Drains(within_s=0.0, most=0)

    async with drains.bounded(Caller()):
        await asyncio.sleep(0.01)

    assert drains.running == 0


async def test_a_caller_who_leaves_gives_the_reply_its_time():
    """What ends within it ends as if nobody had left."""
    drains, caller = Drains(within_s=60.0, most=10), Caller()

    async with drains.bounded(caller):
        caller.leaves()
        while not drains.running:
            await asyncio.sleep(0)
        drained = drains.running

    assert (drained, drains.running) == (1, 0)


async def test_a_reply_that_takes_longer_is_cut():
    """Past its time somebody else's call needs the connection."""
    drains, caller = Drains(within_s=0.0, most=10), Caller()

    with pytest.raises(TimeoutError):
        await endless(drains, caller)

    assert drains.running == 0


async def test_more_than_so_many_are_not_read_on():
    """The next one is cut when its caller leaves; the first goes on."""
    drains, first, second = Drains(within_s=60.0, most=1), Caller(), Caller()

    async with drains.bounded(first):
        first.leaves()
        while not drains.running:
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await endless(drains, second)
        assert drains.running == 1

    assert drains.running == 0


async def failing(drains: Drains, caller: Caller, *, leaves: bool) -> None:
    """A reply that fails, before or after its caller has left."""
    async with drains.bounded(caller):
        if leaves:
            caller.leaves()
            while not drains.running:
                await asyncio.sleep(0)
        raise KeyError


@pytest.mark.parametrize("leaves", [False, True])
async def test_an_error_inside_is_not_hidden(leaves):
    """It ends the block as it is, whether or not the caller has left."""
    drains = Drains(within_s=60.0, most=10)

    with pytest.raises(KeyError):
        await failing(drains, Caller(), leaves=leaves)

    assert drains.running == 0


@set_up(openai__drain_timeout_s="0.05")
async def test_a_reply_that_is_cut_is_charged_by_what_was_seen(house: House):
    """The drain has ended: the usage never came, so what was read is counted."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a time")
    turnstile = Turnstile()
    house.openai.waits_between_chunks(turnstile)
    turnstile.lets_through()

    await house.chat_left_after(acme, events=2)
    (row,) = await acme.transactions()
    turnstile.opens()

    assert (row.usage_source, row.estimated, row.success) == ("counted", True, False)
    assert Credits(0) < row.credits_used <= row.credits_held
    assert await acme.held() == Credits(0)


@set_up(openai__drains_max="1")
async def test_callers_who_leave_together_beyond_the_bound_are_cut(house: House):
    """One reply is read to its end and charged as billed; the others are counted at once."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a time")
    turnstile = Turnstile()
    house.openai.waits_between_chunks(turnstile)
    turnstile.lets_through(3)

    await asyncio.gather(*(house.chat_left_after(acme, events=2) for _ in range(3)))
    while len(house.parts.loops.open_calls) > 1:
        await asyncio.sleep(0.001)
    turnstile.opens()
    rows = await acme.transactions()

    assert sorted(row.usage_source for row in rows) == ["counted", "counted", "reported"]
    assert await acme.held() == Credits(0)


@pytest.mark.parametrize("name", ["chat_stream", "chat_stream_crlf", "chat_stream_tools"])
async def test_every_byte_passes_as_it_came(name, valkey_url, sqlite_records_url):
    """To a caller that wants the usage; comments, blanks and line ends included."""
    recorded = (RECORDED / f"{name}.sse").read_bytes()

    async def talk(gateway: RawCaller) -> None:
        await gateway.request()
        await gateway.says(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
        await gateway.says(b"transfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(recorded), 41):
            piece = recorded[start : start + 41]
            await gateway.says(b"%x\r\n%s\r\n" % (len(piece), piece))
        await gateway.says(b"0\r\n\r\n")

    async with (
        RawServer.talking(talk) as server,
        open_house(
            redis_url=valkey_url,
            records_url=sqlite_records_url,
            openai__base_url=f"http://127.0.0.1:{server.port}/v1",
        ) as house,
    ):
        acme = await house.business()
        reply = await house.chat(acme, stream=True, stream_options={"include_usage": True})
        (row,) = await acme.transactions()

    assert reply.content == recorded
    assert (row.usage_source, row.success) == ("reported", True)


LIMIT = "Rate limit reached in organization org-AbCdEf123456 on tokens per min"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("path", "asked", "event"),
    [
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "Hello"}]},
            {"error": {"message": LIMIT, "code": "rate_limit_exceeded"}},
        ),
        (
            "/v1/responses",
            {"input": "Hello"},
            {"type": "error", "message": LIMIT, "code": "rate_limit_exceeded"},
        ),
    ],
)
async def test_an_error_in_a_stream_does_not_name_our_account(
    valkey_url: str,
    sqlite_records_url: str,
    path: str,
    asked: dict[str, Any],
    event: dict[str, Any],
):
    """The rest of it is what OpenAI said."""
    failed = b"event: error\ndata: " + json.dumps(event).encode() + b"\n\n"
    async with (
        RawServer.answering(HEAD + failed) as server,
        open_house(
            redis_url=valkey_url,
            records_url=sqlite_records_url,
            openai__base_url=f"http://127.0.0.1:{server.port}/v1",
        ) as house,
    ):
        acme = await house.business()
        body = {"model": "gpt-5.4-mini", "stream": True, **asked}
        reply = await house.client.post(path, json=body, headers=acme.headers)

    assert reply.content == failed.replace(b"org-AbCdEf123456", b"org-***")
