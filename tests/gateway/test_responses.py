"""Responses over real sockets: held, forwarded, metered and charged as OpenAI bills them."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from gateway.dev.stub_gates import Turnstile
from metering.money import Credits
from tests.gateway.refusal import refusal_in
from tests.house import MODEL, Acme, House
from tests.one_house import charged_as_billed, set_up

pytestmark = pytest.mark.anyio

SEARCH = [{"type": "web_search"}]


def body(**fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "input": "Hello"} | fields


async def ask(acme: Acme, path: str = "/v1/responses", **fields: Any) -> httpx2.Response:
    return await acme.house.client.post(path, json=body(**fields), headers=acme.headers)


def stream(acme: Acme, **fields: Any) -> AbstractAsyncContextManager[httpx2.Response]:
    return acme.house.client.stream(
        "POST", "/v1/responses", json=body(stream=True, **fields), headers=acme.headers
    )


def events_in(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def switch_on(house: House, *switches: str) -> None:
    """As if it were switched on for every business."""
    intake = house.parts.doors._proxy._intake
    authenticate = intake._authenticate

    async def allowing(headers: Any) -> Any:
        return replace(await authenticate(headers), switches=frozenset(switches))

    intake._authenticate = allowing  # type: ignore[assignment]


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


# Fitting


async def test_a_call_that_is_too_dear_is_fitted(house: House):
    """The limit in the body is what the balance affords, and a header says so."""
    acme = await house.business("0.20")
    house.openai.worst_case()

    reply = await ask(acme, model="gpt-6-sol", max_output_tokens=100_000)

    assert reply.status_code == 200
    limit = house.openai.requests[0].fields["max_output_tokens"]
    assert 16 <= limit < 100_000
    assert reply.headers["x-credits-max-output-tokens"] == str(limit)
    await charged_as_billed(acme)


@set_up(credits__min_output_tokens="1")
async def test_no_call_is_fitted_below_what_openai_takes(house: House):
    """A limit below 16 would be a 400; what affords less is refused with 402 before."""
    statuses = []
    for micro in range(6_000, 14_000, 250):
        acme = await house.business(f"{micro / 1_000_000:.6f}")
        statuses.append((await ask(acme, model="gpt-6-sol", input="Hi")).status_code)

    limits = [request.fields["max_output_tokens"] for request in house.openai.requests]
    assert set(statuses) == {402, 200}
    assert statuses == sorted(statuses, reverse=True)
    assert 16 <= min(limits) < 24


async def test_a_call_without_credits_is_refused(house: House):
    """402 with the figures; nothing is sent."""
    acme = await house.business("0.0001")

    reply = await ask(acme)

    refused = refusal_in(reply)
    assert (refused.status, refused.type) == (402, "insufficient_quota")
    assert house.openai.requests == []


# What is refused


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"tools": SEARCH}, "tools[0].type"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"service_tier": "ultrafast"}, "service_tier"),
    ],
)
async def test_what_is_not_bounded_is_refused_by_name(house: House, fields: Any, part: str):
    """400 cost_not_bounded; nothing is held or sent."""
    acme = await house.business()

    reply = await ask(acme, **fields)

    assert refusal_in(reply)[:3] == (400, "invalid_request_error", "cost_not_bounded")
    assert reply.json()["error"]["param"] == part
    assert house.openai.requests == []
    assert await acme.available() == acme.topped_up


async def test_a_call_without_a_model_is_refused(house: House):
    """OpenAI would take the one of a prompt template, or of a conversation."""
    acme = await house.business()

    reply = await ask(acme, model=None)

    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "model"


# Tools of OpenAI's, switched on


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("told", [True, False])
async def test_searches_are_charged_one_by_one(house: House, streamed: bool, told: bool):
    """From `tool_usage`, or counted; pages that were only opened are free."""
    switch_on(house, "hosted_tools")
    acme = await house.business("500.00")
    house.openai.changes(web_searches=3, tells_tool_usage=told)

    await ask(acme, tools=SEARCH, stream=streamed)

    (row,) = await charged_as_billed(acme)
    assert dict(row.usage)["web_searches"] == 3
    assert house.openai.requests[0].fields["max_tool_calls"] == 4


async def test_file_searches_and_containers_are_charged(house: House):
    """A container once, however often code runs in it."""
    switch_on(house, "hosted_tools", "vector_stores")
    acme = await house.business("500.00")
    house.openai.changes(file_searches=2, containers=1)
    files = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    code = {"type": "code_interpreter", "container": {"type": "auto"}}

    await ask(acme, tools=[files, code])

    (row,) = await charged_as_billed(acme)
    usage = dict(row.usage)
    assert (usage["file_searches"], usage["containers"]) == (2, 1)


async def test_the_worst_bill_of_a_search_was_held(house: House):
    """Five turns of all that the model takes, and all searches."""
    switch_on(house, "hosted_tools")
    acme = await house.business("5000.00")
    house.openai.worst_case()

    await ask(acme, model="gpt-6-luna", tools=SEARCH)

    (row,) = await charged_as_billed(acme)
    assert row.usage_source == "reported"
    assert row.credits_used <= row.credits_held


# Compacting and counting


async def test_a_compaction_is_charged_as_openai_billed_it(house: House):
    """It has neither a tier nor a model of its own."""
    acme = await house.business("500.00")

    reply = await ask(acme, "/v1/responses/compact", input=[{"role": "user", "content": "Hi"}])

    assert reply.json()["object"] == "response.compaction"
    (row,) = await charged_as_billed(acme)
    assert (row.endpoint, row.usage_source) == ("responses.compact", "reported")


async def test_counting_input_tokens_is_free(house: House):
    """A row that says so, and nothing held; a business without credits may count too."""
    acme = await house.business("0.0001")

    reply = await ask(acme, "/v1/responses/input_tokens", input="Hello there")

    assert reply.json()["object"] == "response.input_tokens"
    assert reply.json()["input_tokens"] > 0
    assert reply.headers["x-credits-used"] == "0.00"
    (row,) = await charged_as_billed(acme)
    assert (row.endpoint, row.credits_used) == ("responses.input_tokens", Credits(0))
    assert (row.credits_held, row.success) == (Credits(0), True)
    assert row.cost_to_us.pico == 0


@set_up(
    features__idea__credits="2.50",
    features__idea__models=f'["{MODEL}"]',
    features__idea__max_input_tokens="100",
    features__idea__max_output_tokens="1000",
    features__idea__max_n="1",
)
async def test_counting_is_free_for_a_feature_with_a_fixed_price_too(house: House):
    """Its price is for what it does, and this does nothing yet."""
    acme = await house.business(features=("idea",))

    reply = await house.client.post(
        "/v1/responses/input_tokens", json=body(), headers=acme.headers | {"X-Feature": "idea"}
    )

    assert reply.status_code == 200
    (row,) = await charged_as_billed(acme)
    assert (row.feature, row.credits_used, row.estimated) == ("idea", Credits(0), False)
    assert await acme.available() == acme.topped_up


async def test_an_image_is_held_at_its_most_and_charged_as_counted_when_nobody_tells(
    house: House,
):
    """A caller that leaves before anything came does not pay for the dearest image there is."""
    acme = await house.business()
    parts = [{"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,AA=="}]
    house.openai.without_usage()

    await ask(acme, input=[{"role": "user", "content": parts}])

    (row,) = await acme.transactions()
    assert dict(row.usage)["input"] == 1_250 + 7
    assert row.credits_held > row.credits_used > Credits(0)


async def test_counting_refuses_the_ids_of_others_too(house: House):
    """A count would tell how long another business's response was."""
    acme = await house.business()

    reply = await ask(acme, "/v1/responses/input_tokens", previous_response_id="resp_1")

    assert refusal_in(reply).code == "cost_not_bounded"
    assert house.openai.requests == []


async def test_twenty_at_once_are_charged_one_by_one(house: House):
    """JSON and streams."""
    acme = await house.business()

    replies = await asyncio.gather(*(ask(acme, stream=bool(n % 2)) for n in range(20)))

    assert {reply.status_code for reply in replies} == {200}
    assert len(await charged_as_billed(acme)) == 20
