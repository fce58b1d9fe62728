"""What the official client raises when the gateway refuses, and how often it asks."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import openai
import pytest

from metering.money import Credits
from tests.house import MODEL
from tests.one_house import set_up, with_limits

pytestmark = pytest.mark.anyio

HELLO = [{"role": "user", "content": "Hello"}]
CALL = "POST /v1/chat/completions"


async def test_a_bad_key_is_told_once(house, sync, door):
    """AuthenticationError; a second try would be as bad."""
    chat = sync("gw-" + "x" * 43).chat.completions

    with pytest.raises(openai.AuthenticationError) as raised:
        await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO)

    assert raised.value.code == "invalid_api_key"
    assert door == [CALL]
    assert house.openai.requests == []


async def test_no_credits_cost_exactly_one_request(house, sync, door):
    """402: the client does not try again, and its error tells the figures."""
    acme = await house.business("0")
    chat = sync(acme.key).chat.completions

    with pytest.raises(openai.APIStatusError) as raised:
        await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO)

    error = raised.value
    assert door == [CALL]
    assert (error.status_code, error.code) == (402, "insufficient_credits")
    assert error.type == "insufficient_quota"
    assert "0.00 are available; top up" in error.message
    assert cast(Any, error.body)["metadata"]["balance"] == "0.00"
    assert house.openai.requests == []


@set_up(credits__out_of_credits_status="429")
async def test_no_credits_as_openai_says_it_cost_one_request_too(house, sync, door):
    """out_of_credits_status = 429 would be tried three times without x-should-retry."""
    acme = await house.business("0")
    chat = sync(acme.key).chat.completions

    with pytest.raises(openai.RateLimitError) as raised:
        await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO)

    assert door == [CALL]
    assert raised.value.type == "insufficient_quota"


async def test_no_credits_are_told_before_a_stream_begins(house, asynchronous, door):
    """A stream is refused as a whole, with a status."""
    acme = await house.business("0")

    async with asynchronous(acme.key) as client:
        with pytest.raises(openai.APIStatusError) as raised:
            await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)

    assert (raised.value.status_code, len(door)) == (402, 1)


async def test_an_unknown_model_is_a_bad_request(house, sync, door):
    """What has no price is refused, never free."""
    acme = await house.business()
    chat = sync(acme.key).chat.completions

    with pytest.raises(openai.BadRequestError) as raised:
        await asyncio.to_thread(chat.create, model="gpt-99", messages=HELLO)

    assert (raised.value.code, raised.value.param) == ("model_not_priced", "model")
    assert door == [CALL]
    assert await acme.transactions() == []


async def test_a_part_without_a_bound_is_a_bad_request(house, sync):
    """Its name is in the error, for the app's log."""
    acme = await house.business()
    chat = sync(acme.key).chat.completions
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    messages = [{"role": "user", "content": [image]}]

    with pytest.raises(openai.BadRequestError) as raised:
        await asyncio.to_thread(chat.create, model=MODEL, messages=messages)

    assert raised.value.code == "cost_not_bounded"
    assert "image_url" in raised.value.message
    assert house.openai.requests == []


async def test_an_endpoint_that_is_not_served_is_forbidden_with_the_reason(house, sync, door):
    """PermissionDeniedError, once; nothing is forwarded unmetered."""
    acme = await house.business()
    client = sync(acme.key)

    with pytest.raises(openai.PermissionDeniedError) as raised:
        await asyncio.to_thread(client.fine_tuning.jobs.create, model=MODEL, training_file="file-1")

    assert raised.value.code == "endpoint_not_supported"
    assert door == ["POST /v1/fine_tuning/jobs"]
    assert house.openai.requests == []


async def test_a_base_url_without_v1_says_so(house, door):
    """The usual mistake of a new user."""
    acme = await house.business()
    client: Any = openai.OpenAI(base_url=house.url, api_key=acme.key)

    with pytest.raises(openai.NotFoundError) as raised:
        await asyncio.to_thread(client.chat.completions.create, model=MODEL, messages=HELLO)
    client.close()

    assert "did you mean /v1/chat/completions" in raised.value.message
    assert door == ["POST /chat/completions"]


async def test_held_credits_are_asked_for_again(house, sync, door):
    """429 with Retry-After: what runs now may leave enough; then the call is served."""
    acme = await house.business("1.40")
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    first = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)
    chat = sync(acme.key).chat.completions
    fit = {"X-Credits-Fit": "never"}

    second = asyncio.create_task(
        asyncio.to_thread(chat.create, model=MODEL, messages=HELLO, extra_headers=fit)
    )
    while not door.answers:
        await asyncio.sleep(0.001)
    openai_may_answer.set()

    assert (await first).status_code == 200
    assert (await second).choices
    assert sorted(door.answers) == [200, 200, 429]
    assert len(house.openai.billed) == len(await acme.transactions()) == 2


async def test_a_call_that_comes_too_early_is_made_again_in_time(house, sync, door):
    """429 with retry-after-ms: the client waits that long, and no longer, by itself."""
    acme = await with_limits(await house.business(), requests_per_minute=600)
    raw = sync(acme.key).chat.completions.with_raw_response
    await asyncio.gather(*(house.chat(acme) for _ in range(605)))
    refused = door.answers.count(429)

    reply = await asyncio.to_thread(raw.create, model=MODEL, messages=HELLO)

    assert refused
    assert reply.parse().choices
    assert reply.headers["x-ratelimit-limit-requests"] == "600"
    assert 0 <= int(reply.headers["x-ratelimit-remaining-requests"]) < 600


async def test_a_cap_that_is_reached_costs_exactly_one_request(house, sync, door):
    """402: the client does not try again, and its error tells the figures of the key."""
    acme = await with_limits(await house.business(), credit_cap="0.0001")
    chat = sync(acme.key).chat.completions

    with pytest.raises(openai.APIStatusError) as raised:
        await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO)

    error = raised.value
    assert door == [CALL]
    assert (error.status_code, error.code) == (402, "key_credit_cap_reached")
    assert cast(Any, error.body)["metadata"]["credit_cap"] == "0.0001"


async def test_the_list_of_models_is_what_may_be_called(house, sync):
    """models.list and models.retrieve, answered without OpenAI."""
    acme = await house.business()
    models = sync(acme.key).models

    listed = {model.id for model in await asyncio.to_thread(lambda: list(models.list()))}
    one = await asyncio.to_thread(models.retrieve, MODEL)
    with pytest.raises(openai.NotFoundError) as raised:
        await asyncio.to_thread(models.retrieve, "gpt-99")

    assert MODEL in listed
    assert (one.id, one.object, one.owned_by) == (MODEL, "model", "openai")
    assert raised.value.code == "model_not_found"
    assert house.openai.requests == []
    assert await acme.available() == acme.topped_up > Credits(0)
