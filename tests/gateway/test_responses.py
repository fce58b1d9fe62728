"""Responses over real sockets: held, forwarded, metered and charged as OpenAI bills them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import httpx2
import pytest

from gateway.dev.stub_gates import Turnstile
from metering.money import Credits
from tests.gateway.responding import ask, events_in, stream
from tests.house import House
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio


# JSON


async def test_a_response_is_charged_as_openai_billed_it(house: House):
    """Its figures are those of the row; what was forwarded says that nothing is stored."""
    acme = await house.business()
    house.openai.says("Akwaaba!")

    reply = await ask(acme, instructions="Be brief.", metadata={"feature": "greeting"})

    assert reply.status_code == 200
    assert reply.json()["output"][0]["content"][0]["text"] == "Akwaaba!"
    (row,) = await charged_as_billed(acme)
    assert (row.endpoint, row.usage_source, row.success) == ("responses", "reported", True)
    assert (row.tokens_used, row.feature) == (reply.json()["usage"]["total_tokens"], "greeting")
    assert reply.headers["x-credits-used"] == str(row.credits_used)
    forwarded = house.openai.requests[0].fields
    assert (forwarded["store"], forwarded["service_tier"]) == (False, "default")
    assert forwarded["max_output_tokens"] > 0


@pytest.mark.parametrize("streamed", [False, True])
async def test_every_kind_of_token_is_charged_at_its_price(house: House, streamed: bool):
    """Reads of the cache, writes for 30 minutes and for 12 hours, reasoning."""
    acme = await house.business()
    house.openai.changes(
        cached_tokens=500,
        cache_write_tokens=300,
        cache_write_12h_tokens=200,
        reasoning_tokens=40,
    )

    reply = await ask(acme, model="gpt-6-sol", stream=streamed)

    assert reply.status_code == 200
    (row,) = await charged_as_billed(acme)
    usage = dict(row.usage)
    kinds = ("cached_input", "cache_write_30m", "cache_write_12h")
    assert [usage[kind] for kind in kinds] == [500, 300, 200]
    assert usage["output"] > 40


@pytest.mark.parametrize(("asked", "tier"), [("flex", "flex"), ("fast", "priority")])
async def test_a_tier_is_forwarded_and_charged_at_its_price(house: House, asked: str, tier: str):
    """The reply names it, and its prices are those of the tier."""
    acme = await house.business()
    house.openai.changes(tier=tier)

    await ask(acme, model="gpt-6-sol", service_tier=asked)

    (row,) = await charged_as_billed(acme)
    assert row.price_version.endswith(f":{tier}")
    assert house.openai.requests[0].fields["service_tier"] == tier


async def test_a_function_call_comes_back_whole(house: House):
    """Tools that the app runs itself are served; their results are sent as items."""
    acme = await house.business()
    house.openai.calls_tool("weather", '{"city": "Accra"}')
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}}

    reply = await ask(acme, tools=[tool | {"strict": True}])
    call = reply.json()["output"][0]
    answer = {"type": "function_call_output", "call_id": call["call_id"], "output": "31 C"}
    again = await ask(acme, input=[{"role": "user", "content": "Hello"}, call, answer])

    assert (call["type"], call["arguments"]) == ("function_call", '{"city": "Accra"}')
    assert again.status_code == 200
    assert len(await charged_as_billed(acme)) == 2


async def test_a_failed_response_is_charged_what_it_reports(house: House):
    """200 with status failed: no success, and the tokens that OpenAI bills."""
    acme = await house.business()
    house.openai.changes(ends="failed")

    reply = await ask(acme)

    assert reply.json()["status"] == "failed"
    (row,) = await charged_as_billed(acme)
    assert (row.success, row.usage_source) == (False, "reported")


async def test_a_response_without_usage_is_counted(house: House):
    """The prompt and the text; OpenAI counts them alike here, so it is charged as billed."""
    acme = await house.business()
    house.openai.says("Once upon a time")
    house.openai.without_usage()

    reply = await ask(acme)

    assert reply.json()["usage"] is None
    (row,) = await acme.transactions()
    (bill,) = house.openai.billed
    assert (row.usage_source, row.estimated) == ("counted", True)
    assert dict(row.usage)["output"] == bill.usage["output_tokens"]
    assert Credits(0) < row.credits_used <= row.credits_held


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": -5, "output_tokens": 3},
        {"input_tokens": 10**12, "output_tokens": 3},
        {"input_tokens": 5_000_000, "output_tokens": 3},
    ],
)
async def test_a_usage_that_cannot_be_is_never_more_than_was_held(house: House, usage: Any):
    """Negative, absurd or beyond the model's limits: counted or capped, and flagged."""
    acme = await house.business()
    house.openai.with_usage(usage)

    await ask(acme)

    (row,) = await acme.transactions()
    assert row.estimated
    assert Credits(0) < row.credits_used <= row.credits_held


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_worst_that_openai_may_bill_was_held(house: House, streamed: bool):
    """Every byte a token, all of it written to the cache for 12 hours, all output used."""
    acme = await house.business()
    house.openai.worst_case()

    await ask(acme, model="gpt-6-sol", stream=streamed, max_output_tokens=2_000)

    (row,) = await charged_as_billed(acme)
    assert row.usage_source == "reported"
    # What is between them is the framing and the names of the fields.
    assert row.credits_held.micro * 8 // 10 <= row.credits_used.micro <= row.credits_held.micro


# Streams


async def test_a_stream_is_passed_on_event_by_event(house: House):
    """Byte for byte what OpenAI sent, with its sequence numbers."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a time")

    async with stream(acme) as reply:
        text = "".join([piece async for piece in reply.aiter_text()])

    events = events_in(text)
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    deltas = [event["delta"] for event in events if event["type"].endswith("text.delta")]
    assert deltas == ["Once", " upon", " a time"]
    (row,) = await charged_as_billed(acme)
    assert row.usage_source == "reported"
    assert reply.headers["x-credits-held"] == str(row.credits_held)


async def test_a_caller_that_hangs_up_pays_what_openai_billed(house: House):
    """The stream is read to its end for it."""
    acme = await house.business()
    gate = Turnstile()
    house.openai.streams(*[" word"] * 50)
    house.openai.changes(reasoning_tokens=100)
    house.openai.waits_between_chunks(gate)
    gate.lets_through(3)

    async with stream(acme) as reply:
        async for line in reply.aiter_lines():
            if "output_text.delta" in line:
                break
    gate.opens()

    (row,) = await charged_as_billed(acme)
    assert row.usage_source == "reported"
    assert dict(row.usage)["output"] == 150


@pytest.mark.parametrize("ends", ["incomplete", "failed"])
async def test_a_stream_that_ends_otherwise_is_charged_what_it_reports(house: House, ends: str):
    """`response.incomplete` and `response.failed` hold the whole response too."""
    acme = await house.business()
    house.openai.changes(ends=ends)

    async with stream(acme) as reply:
        events = events_in("".join([piece async for piece in reply.aiter_text()]))

    assert events[-1]["type"] == f"response.{ends}"
    (row,) = await charged_as_billed(acme)
    assert (row.usage_source, row.success) == ("reported", ends == "incomplete")


@pytest.mark.parametrize("script", [{"says_done": False}, {"ends": "error"}, {"breaks_after": 4}])
async def test_a_stream_without_its_last_event_is_counted(house: House, script: Any):
    """What was seen is charged, and no more than was held."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a", " time", " there", " was")
    house.openai.changes(**script)

    async with stream(acme) as reply:
        with suppress(httpx2.RemoteProtocolError):
            await reply.aread()

    (row,) = await acme.transactions()
    (bill,) = house.openai.billed
    assert (row.usage_source, row.estimated) == ("counted", True)
    assert dict(row.usage)["output"] == bill.usage["output_tokens"]
    assert Credits(0) < row.credits_used <= row.credits_held
    assert (await acme.balance()).held == Credits(0)


async def test_a_stream_that_breaks_before_any_text_costs_nothing(house: House):
    """That is our risk."""
    acme = await house.business()
    house.openai.breaks_after(0, billed=False)

    async with stream(acme) as reply:
        with suppress(httpx2.RemoteProtocolError):
            await reply.aread()

    (row,) = await charged_as_billed(acme)
    assert (row.outcome, row.credits_used) == ("released", Credits(0))
