"""OpenAI's tools in a response, its compaction, and the count of its input."""

from __future__ import annotations

import asyncio

import pytest

from metering.money import Credits
from tests.gateway.refusal import refusal_in
from tests.gateway.responding import SEARCH, ask, body, switch_on
from tests.gateway.storing import own
from tests.house import MODEL, House
from tests.one_house import charged_as_billed, set_up

pytestmark = pytest.mark.anyio


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
    await own(acme, "vs_1", kind="vector_store")
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
