"""Streams of responses in the background: relayed as any other, and looked after when cut."""

from __future__ import annotations

import pytest

from gateway.dev.stub_gates import Turnstile
from tests.gateway.jobs_of import settled, with_background
from tests.gateway.responding import stream
from tests.house import House
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio


async def test_a_stream_in_the_background_is_settled_by_its_last_event(house: House):
    """As any other stream."""
    acme = await with_background(house)
    house.openai.streams("Once", " upon")

    async with stream(acme, background=True) as reply:
        await reply.aread()

    (row,) = await charged_as_billed(acme)
    assert row.usage_source == "reported"
    await settled(acme)


async def test_a_stream_that_breaks_goes_on_in_the_background(house: House):
    """It is not over for OpenAI, so it is not settled by what was seen."""
    acme = await with_background(house)
    house.openai.streams("Once", " upon", " a time")
    house.openai.changes(breaks_after=1)

    async with stream(acme, background=True) as reply:
        with pytest.raises(Exception):  # noqa: B017, PT011  (However the client names it.)
            await reply.aread()

    assert await acme.transactions() == []
    assert (await settled(acme)).usage_source == "reported"


async def test_a_caller_that_leaves_a_stream_is_charged_once(house: House):
    """Whether it is read on or looked after."""
    acme = await with_background(house)
    gate = Turnstile()
    house.openai.streams(*[" word"] * 20)
    house.openai.waits_between_chunks(gate)
    gate.lets_through(3)

    async with stream(acme, background=True) as reply:
        async for line in reply.aiter_lines():
            if "output_text.delta" in line:
                break
    gate.opens()

    assert (await settled(acme)).usage_source == "reported"
