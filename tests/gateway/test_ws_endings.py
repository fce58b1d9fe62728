"""However a websocket ends, what OpenAI billed is charged and nothing stays held."""

from __future__ import annotations

import asyncio

import pytest

from gateway.dev.stub_gates import Turnstile
from gateway.ws_protocol import SocketProtocol
from metering.money import Credits
from tests.gateway.ws_caller import (
    REALTIME,
    SECOND,
    Line,
    charged_is_billed,
    line,
    price_of,
    switch_on,
)
from tests.house import MODEL, House
from tests.one_house import set_up

pytestmark = pytest.mark.anyio

RESPONSES = "/v1/responses"
PATH = f"/v1/realtime?model={REALTIME}"
PATHS = pytest.mark.parametrize("path", [RESPONSES, PATH])


@pytest.fixture(autouse=True)
def _switched_on(house: House) -> None:
    switch_on(house, "realtime")


async def ask(caller: Line, path: str) -> None:
    """Ask for a response."""
    more = {"model": MODEL, "input": "Hello"} if path == RESPONSES else {}
    await caller.say("response.create", **more)


@PATHS
async def test_who_hangs_up_at_any_event_pays_what_was_billed(house: House, path: str) -> None:
    """A response is read to its end, or cancelled, for a caller who has left."""
    acme = await house.business()
    pieces = ("One", " two", " three", " four")
    house.openai.streams(*pieces)
    events = 3 + 2 * len(pieces)

    for leaves_after in range(events):
        gate = Turnstile()
        house.openai.changes(between=gate)
        async with line(house, path, acme.key) as caller:
            if path == PATH:
                await caller.until("session.created")
            await ask(caller, path)
            gate.lets_through(leaves_after // 2)
            if leaves_after:
                await caller.until("response.created")
            for _ in range(min(leaves_after // 2, len(pieces))):
                await caller.until("response.output_text.delta", "response.output_audio.delta")
        gate.opens()
        await house.quiet()

    assert len(house.openai.billed) >= events - 1
    await charged_is_billed(house, acme)


@PATHS
@pytest.mark.parametrize("number", range(3))
async def test_a_response_that_openai_cuts_is_charged_as_far_as_it_came(
    house: House, path: str, number: int
) -> None:
    """The close code is passed on; nothing came, nothing is charged; else what was seen."""
    acme = await house.business()
    house.openai.streams("One ", "two ", "three")
    house.openai.breaks_after(number)

    async with line(house, path, acme.key) as caller:
        await ask(caller, path)
        code = await caller.ended()

    (row,) = await acme.transactions()
    (bill,) = house.openai.billed
    assert code == 1011
    assert (row.success, row.http_status, row.estimated) == (False, row.http_status, True)
    assert (row.credits_used > Credits(0)) is (number > 0)
    assert row.credits_used <= price_of(house, bill) + Credits.parse("0.05")
    assert await acme.held() == Credits(0)


@PATHS
@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": True},
        {"input_tokens": 10**12, "output_tokens": 1},
    ],
)
async def test_a_usage_that_is_none_is_counted(house: House, path: str, usage) -> None:
    """What was seen is charged, flagged as an estimate, and never more than was held."""
    acme = await house.business()
    house.openai.changes(usage=usage)

    async with line(house, path, acme.key) as caller:
        await ask(caller, path)
        await caller.until("response.done", "response.completed")

    (row,) = await acme.transactions()
    assert (row.usage_source, row.estimated) == ("counted", True)
    assert Credits(0) < row.credits_used
    assert await acme.held() == Credits(0)


@PATHS
@set_up(openai__total_timeout_s="0.5")
async def test_a_response_without_an_end_is_ended(house: House, path: str) -> None:
    """After the time that a response may take: an event, 1011, and what was seen is charged."""
    acme = await house.business()
    house.openai.changes(says_done=False)

    async with line(house, path, acme.key) as caller:
        await ask(caller, path)
        told = await caller.until("error")
        code = await caller.ended()

    (row,) = await acme.transactions()
    assert (told["error"]["code"], code) == ("upstream_error", 1011)
    assert (row.success, row.estimated) == (False, True)
    assert row.credits_used > Credits(0)
    assert await acme.held() == Credits(0)


@PATHS
async def test_a_response_that_nothing_is_held_for_ends_the_websocket(
    house: House, path: str
) -> None:
    """It is not passed on: 1011, after what was asked for has been settled."""
    acme = await house.business()
    house.openai.changes(unasked=True)

    async with line(house, path, acme.key) as caller:
        await ask(caller, path)
        await caller.until("response.done", "response.completed")
        code = await caller.ended()

    created = [event for event in caller.events if event["type"] == "response.created"]
    assert (len(created), code) == (1, 1011)
    await charged_is_billed(house, acme)


async def test_an_idle_caller_who_leaves_is_charged_nothing(house: House) -> None:
    """The hold that was kept ready returns, and OpenAI's end is closed with the same code."""
    acme = await house.business()

    async with line(house, PATH, acme.key) as caller:
        await caller.until("session.created")
        await caller.say("input_audio_buffer.append", audio=SECOND[:1000])
        await (await house.openai.socket()).until(lambda socket: len(socket.frames) == 1)
        assert await acme.held() > Credits(0)
        await caller.socket.close(4000, "bye")
    await house.openai.sockets[0].until(lambda socket: socket.closed is not None)

    rows = await acme.transactions()
    assert [(row.outcome, row.http_status) for row in rows] == [("released", 204)]
    assert house.openai.sockets[0].closed == 4000
    assert await acme.available() == acme.topped_up


async def test_credits_that_end_in_the_middle_end_the_session(house: House) -> None:
    """The last answer is settled; then credits_exhausted_midstream and 1008."""
    rich = await house.business()
    async with line(house, PATH, rich.key) as caller:
        await caller.say("input_audio_buffer.append", audio=SECOND[:1000])
        await (await house.openai.socket()).until(lambda socket: len(socket.frames) == 1)
        one_hold = await rich.held()
    acme = await house.business(str(one_hold + Credits.parse("0.0001")))

    async with line(house, PATH, acme.key) as caller:
        await caller.until("session.created")
        await caller.say("input_audio_buffer.append", audio=SECOND)
        await caller.until("response.done")
        event = await caller.until("error")
        code = await caller.ended()

    assert event["error"]["code"] == "credits_exhausted_midstream"
    assert event["error"]["type"] == "insufficient_quota"
    assert code == 1008
    await charged_is_billed(house, acme)
    assert len(house.openai.billed) >= 1


async def test_audio_without_credits_is_not_passed_on(house: House) -> None:
    """Where OpenAI would answer by itself nothing is sent that nothing is held for."""
    acme = await house.business("0.10")

    async with line(house, PATH, acme.key) as caller:
        await caller.until("session.created")
        await caller.say("input_audio_buffer.append", audio=SECOND)
        told = await caller.until("error")
        code = await caller.ended()

    assert (told["error"]["code"], code) == ("insufficient_credits", 1008)
    assert (await house.openai.socket()).frames == []
    assert house.openai.billed == []


async def test_a_caller_who_does_not_read_slows_openai_down(house: House, monkeypatch) -> None:
    """What is not read stays with OpenAI: the gateway keeps a few frames and no more."""
    connections: list[SocketProtocol] = []
    made = SocketProtocol.connection_made

    def connected(protocol: SocketProtocol, transport: asyncio.BaseTransport) -> None:
        connections.append(protocol)
        made(protocol, transport)

    monkeypatch.setattr(SocketProtocol, "connection_made", connected)
    acme = await house.business()
    house.openai.streams(*([" " * 200_000] * 100))

    async with line(house, RESPONSES, acme.key, max_queue=1) as caller:
        await ask(caller, RESPONSES)
        await house.openai.socket()
        while connections[0].writable.is_set():
            await asyncio.sleep(0.001)
        buffered = connections[0].transport.get_write_buffer_size()
        assert house.openai.billed == []
        await caller.until("response.completed")

    assert buffered < 1_000_000
    await charged_is_billed(house, acme)
