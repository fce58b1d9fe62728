"""A caller may leave at any moment and in any way: it pays exactly what OpenAI billed."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

import pytest

from gateway.dev.stub_gates import Turnstile
from metering.money import Credits
from tests.house import Acme, House, open_house
from tests.laws.caller import WAYS, Caller, Way
from tests.laws.conftest import SETTINGS
from tests.laws.laws import check_laws
from tests.laws.lifetimes import nothing_is_left

pytestmark = pytest.mark.anyio

CHUNKS = 40
BEFORE_HEADERS, ALL_TEXT, DONE = 0, CHUNKS + 1, CHUNKS + 2
PLACES = range(DONE + 1)
"""0: before the headers; 1: after them; 2 … 41: after so many chunks less one; 42: after [DONE]."""


@dataclass
class Stream:
    """One call whose reply has come to its place and waits there, until OpenAI goes on."""

    caller: Caller
    place: int
    reply: Turnstile
    between: Turnstile
    usage: Turnstile

    def goes_on(self) -> None:
        """OpenAI writes the rest."""
        for gate in (self.reply, self.between, self.usage):
            gate.opens()


async def stream_up_to(place: int, house: House, acme: Acme) -> Stream:
    """A caller who has read so much of a stream, of which no more is there."""
    stream = Stream(await Caller.connects(house.url), place, Turnstile(), Turnstile(), Turnstile())
    house.openai.changes(
        pieces=(" word",) * CHUNKS,
        gate=stream.reply,
        between=stream.between,
        before_usage=stream.usage,
    )
    arrived = len(house.openai.requests)
    await stream.caller.asks(acme.key, stream=True)
    await house.openai.received(arrived + 1)
    if place == BEFORE_HEADERS:
        return stream
    stream.reply.opens()
    stream.between.lets_through(min(place, ALL_TEXT) - 1)
    await stream.caller.sees(b'"role":"assistant"')
    await stream.caller.sees(b'"content":" word"', min(place, ALL_TEXT) - 1)
    if place == ALL_TEXT:
        await stream.caller.sees(b'"finish_reason":"stop"')
    if place == DONE:
        stream.usage.opens()
        await stream.caller.sees(b"data: [DONE]")
    return stream


async def noticed(house: House, left: int) -> None:
    """Wait until the gateway knows of so many callers that they have left."""
    drains, open_calls = house.parts.doors._proxy._drains, house.parts.loops.open_calls
    while drains.running < left:
        assert len(open_calls) >= left, "a call was ended because its caller left"
        await asyncio.sleep(0.001)


async def paid_what_was_billed(house: House, acme: Acme, calls: int) -> None:
    """Each call has one row that says what OpenAI billed, and nothing is held or left over."""
    rows = {row.id: row for row in await acme.transactions()}
    bills = {bill.transaction: bill for bill in house.openai.billed}
    assert len(bills) == len(house.openai.billed) == len(rows) == calls
    assert set(rows) == set(bills)
    for id, bill in bills.items():
        row = rows[id]
        assert row.credits_used == house.price_of(bill).credits_used
        assert (row.usage_source, row.outcome) == ("reported", "settled")
        assert row.usage["output"] == bill.output_tokens
    assert await acme.held() == Credits(0)
    charged = sum((row.credits_used for row in rows.values()), Credits(0))
    assert await acme.available() == await acme.recorded() == acme.topped_up - charged
    await check_laws(house)
    await nothing_is_left(house.parts.stores.redis)


@pytest.mark.parametrize("way", WAYS)
async def test_a_stream_left_at_any_chunk_costs_what_openai_billed(
    one_house: House, way: Way
) -> None:
    """43 places, and the gateway knows of each caller before OpenAI writes on."""
    acme = await one_house.business()
    streams = [await stream_up_to(place, one_house, acme) for place in PLACES]

    for stream in streams:
        stream.caller.leaves(way)
    await noticed(one_house, len(streams) - 1)  # The last one had its whole reply.
    for stream in streams:
        stream.goes_on()

    await paid_what_was_billed(one_house, acme, len(PLACES))


@pytest.mark.parametrize("way", WAYS)
async def test_a_stream_left_while_openai_writes_on_costs_what_it_billed(
    one_house: House, way: Way
) -> None:
    """The same in a race: the next chunks come while the gateway learns who has left."""
    acme = await one_house.business()
    streams = [await stream_up_to(place, one_house, acme) for place in PLACES]

    for stream in streams:
        stream.goes_on()
        stream.caller.leaves(way)
        await asyncio.sleep(0)

    await paid_what_was_billed(one_house, acme, len(PLACES))


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_whose_body_never_came_whole_costs_nothing(one_house: House, way: Way) -> None:
    """Nothing was asked of OpenAI, so nothing was held and there is no row."""
    acme = await one_house.business()

    for body_bytes in (0, 1, 40):
        caller = await Caller.connects(one_house.url)
        await caller.asks(acme.key, body_bytes=body_bytes)
        caller.leaves(way)
    assert (await one_house.chat(acme)).status_code == 200

    await paid_what_was_billed(one_house, acme, 1)


@pytest.mark.parametrize("way", WAYS)
async def test_a_json_call_left_at_any_moment_costs_what_openai_billed(
    valkey_url: str, sqlite_records_url: str, way: Way
) -> None:
    """Left while OpenAI works, while the call is held and not sent, and with its reply."""
    async with open_house(
        redis_url=valkey_url,
        records_url=sqlite_records_url,
        openai__max_connections="1",
        **SETTINGS,
    ) as house:
        acme = await house.business()
        openai_works = Turnstile()
        house.openai.holds_replies(openai_works)
        at_openai, held, answered = [await Caller.connects(house.url) for _ in range(3)]
        await at_openai.asks(acme.key)
        await house.openai.received(1)
        # OpenAI is asked over one connection, so the next call waits after its hold.
        await held.asks(acme.key)
        while len(house.parts.loops.open_calls) < 2:
            await asyncio.sleep(0.001)

        held.leaves(way)
        at_openai.leaves(way)
        await noticed(house, 2)
        assert len(house.openai.requests) == 1
        openai_works.opens()
        await answered.asks(acme.key)
        assert (await answered.answer()).status == 200
        answered.leaves(way)

        await paid_what_was_billed(house, acme, 3)


async def test_of_40_callers_who_come_and_go_each_pays_its_own_call(one_house: House) -> None:
    """They leave in every way at once: no call is charged for another one."""
    acme, other = await one_house.business(), await one_house.business(name="Other")
    streams = [
        await stream_up_to(place, one_house, owner)
        for place in range(0, DONE, 2)
        for owner in (acme, other)
    ]

    for number, stream in enumerate(streams):
        stream.caller.leaves(WAYS[number % len(WAYS)])
        stream.goes_on()
    rows = [*await acme.transactions(), *await other.transactions()]

    assert Counter(row.business for row in rows) == {acme.id: 21, other.id: 21}
    prices = {bill.transaction: one_house.price_of(bill) for bill in one_house.openai.billed}
    assert {row.id: row.credits_used for row in rows} == {
        id: price.credits_used for id, price in prices.items()
    }
    await check_laws(one_house)
