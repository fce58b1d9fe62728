"""`WS /v1/responses`: each response is held before it is made, and charged as it was billed."""

from __future__ import annotations

import pytest

from gateway.dev.stub_gates import Turnstile
from metering.money import Credits
from tests.gateway.ws_caller import Line, charged_is_billed, line
from tests.house import MODEL, House

pytestmark = pytest.mark.anyio

PATH = "/v1/responses"
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


async def create(caller: Line, text: str = "Hello", **fields: object) -> None:
    """Ask for a response."""
    await caller.say("response.create", **{"model": MODEL, "input": text} | fields)


async def test_each_response_is_charged_as_billed(house: House) -> None:
    """One transaction for each response; what was metered is what is forwarded."""
    acme = await house.business()

    async with line(house, PATH, acme.key) as caller:
        for text in ("Hello", "And then?"):
            await create(caller, text)
            assert (await caller.until(*ENDS))["type"] == "response.completed"

    rows = await acme.transactions()
    sent = (await house.openai.socket()).frames
    assert [(row.endpoint, row.model, row.success) for row in rows] == [
        ("responses", MODEL, True)
    ] * 2
    assert [frame["input"] for frame in sent] == ["Hello", "And then?"]
    assert all(frame["store"] is False and frame["max_output_tokens"] for frame in sent)
    await charged_is_billed(house, acme)


async def test_a_prewarm_is_charged_for_its_input(house: House) -> None:
    """`generate: false` is passed on, and billed input without output."""
    acme = await house.business()

    async with line(house, PATH, acme.key) as caller:
        await create(caller, generate=False)
        await caller.until(*ENDS)

    assert (await house.openai.socket()).frames[0]["generate"] is False
    assert house.openai.billed[0].units["output"] == 0
    await charged_is_billed(house, acme)


async def test_a_response_of_this_socket_may_be_continued(house: House) -> None:
    """Its id belongs to the socket that made it; any other one is refused."""
    acme = await house.business()

    async with line(house, PATH, acme.key) as caller:
        await create(caller)
        first = await caller.until(*ENDS)
        await create(caller, previous_response_id=first["response"]["id"])
        second = await caller.until(*ENDS)
        await create(caller, previous_response_id="resp_of_somebody_else", event_id="mine")
        refused = await caller.until(*ENDS)

    before = first["response"]["usage"]["total_tokens"]
    assert second["response"]["usage"]["input_tokens"] > before
    assert refused["error"]["code"] == "previous_response_not_found"
    assert refused["error"]["event_id"] == "mine"
    assert len((await house.openai.socket()).frames) == 2
    await charged_is_billed(house, acme)


async def test_who_calls_is_hidden_from_openai_as_over_https(house: House) -> None:
    """Names that two businesses may share go out hashed, and foreign objects are unknown."""
    acme = await house.business()
    reference = [{"type": "item_reference", "id": "msg_of_somebody_else"}]

    async with line(house, PATH, acme.key) as caller:
        await create(caller, prompt_cache_key="mine", user="ada")
        first = await caller.until("response.completed")
        id = first["response"]["id"]
        await create(caller, input=reference, previous_response_id=id)
        told = await caller.until(*ENDS)

    (sent,) = (await house.openai.socket()).frames
    assert sent["prompt_cache_key"] != "mine"
    assert "ada" not in str(sent)
    assert sent["safety_identifier"]
    assert told["status"] == 404


async def test_what_a_response_continues_is_held_for_too(house: House) -> None:
    """All that the one before had in and out is read again: the hold covers it."""
    acme = await house.business()
    house.openai.streams("Yes.")

    async with line(house, PATH, acme.key) as caller:
        await create(caller, "word " * 4000, max_output_tokens=16)
        first = await caller.until(*ENDS)
        await create(caller, max_output_tokens=16, previous_response_id=first["response"]["id"])
        await caller.until(*ENDS)

    for row in await acme.transactions():
        assert row.credits_used <= row.credits_held
    await charged_is_billed(house, acme)


async def test_responses_wait_for_their_turn(house: House) -> None:
    """As with OpenAI one is made after the other; only the one that is made has a hold."""
    acme = await house.business()
    gate = Turnstile()
    house.openai.changes(before_usage=gate)

    async with line(house, PATH, acme.key) as caller:
        for text in ("one", "two", "three"):
            await create(caller, text)
        await caller.until("response.created")
        held = await acme.held()
        assert len((await house.openai.socket()).frames) == 1
        gate.opens()
        for _ in range(3):
            await caller.until("response.completed")

    assert Credits(0) < held
    assert [frame["input"] for frame in house.openai.sockets[0].frames] == ["one", "two", "three"]
    await charged_is_billed(house, acme)


async def test_too_many_that_wait_are_refused(house: House) -> None:
    """What waits is bounded; the ninth is refused, and the others are made."""
    acme = await house.business()
    gate = Turnstile()
    house.openai.changes(before_usage=gate)

    async with line(house, PATH, acme.key) as caller:
        await create(caller)
        await caller.until("response.created")
        for number in range(9):
            await create(caller, event_id=f"number {number}")
        refused = await caller.until("error")
        gate.opens()
        for _ in range(9):
            await caller.until("response.completed")

    assert refused["error"]["event_id"] == "number 8"
    await charged_is_billed(house, acme)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"background": True}, "cost_not_bounded"),
        ({"store": True}, "cost_not_bounded"),
        ({"stream_id": "lane-2"}, "cost_not_bounded"),
        ({"tools": [{"type": "web_search"}]}, "cost_not_bounded"),
        ({"model": "gpt-unknown"}, "model_not_priced"),
        ({"model": 7}, "invalid_request"),
        ({"generate": "no"}, "invalid_request"),
        ({"max_output_tokens": -1}, "invalid_body"),
    ],
)
async def test_what_cannot_be_bounded_is_refused(house: House, fields, code) -> None:
    """An `error` event names it, nothing is sent, and the socket serves the next one."""
    acme = await house.business()

    async with line(house, PATH, acme.key) as caller:
        await create(caller, event_id="mine", **fields)
        refused = await caller.until(*ENDS)
        await create(caller)
        await caller.until("response.completed")

    assert (refused["error"]["code"], refused["error"]["event_id"]) == (code, "mine")
    assert refused["status"] == 400
    assert len((await house.openai.socket()).frames) == 1
    await charged_is_billed(house, acme)


async def test_steering_is_refused(house: House) -> None:
    """It goes on as a response that nobody has held for."""
    acme = await house.business()

    async with line(house, PATH, acme.key) as caller:
        await caller.say("response.steer", previous_response_id="resp_1", input="Faster")
        refused = await caller.until("error")

    assert refused["error"]["code"] == "cost_not_bounded"
    assert refused["error"]["param"] == "response.steer"
    assert (await house.openai.socket()).frames == []


async def test_without_credits_a_response_is_refused_and_the_socket_stays(house: House) -> None:
    """402 in the event; after a top-up the same socket goes on."""
    acme = await house.business("0.01")

    async with line(house, PATH, acme.key) as caller:
        await create(caller, "Hello " * 20_000)
        refused = await caller.until(*ENDS)
        await house.top_up(acme, "50.00")
        await create(caller)
        await caller.until("response.completed")

    assert (refused["status"], refused["error"]["code"]) == (402, "insufficient_credits")
    assert refused["error"]["type"] == "insufficient_quota"
    await charged_is_billed(house, acme)


async def test_what_openai_refuses_costs_nothing(house: House) -> None:
    """Its `error` event is passed on and the hold returns."""
    acme = await house.business()
    house.openai.fails(429, code="rate_limit_exceeded", times=1)

    async with line(house, PATH, acme.key) as caller:
        await create(caller)
        refused = await caller.until(*ENDS)
        await create(caller)
        await caller.until("response.completed")

    rows = await acme.transactions()
    assert refused["error"]["code"] == "rate_limit_exceeded"
    assert [(row.outcome, row.http_status) for row in rows] == [("released", 429), ("settled", 200)]
    await charged_is_billed(house, acme)
