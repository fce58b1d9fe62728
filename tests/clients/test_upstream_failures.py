"""OpenAI's failures as the official client meets them: nothing that fails is charged."""

from __future__ import annotations

import asyncio

import openai
import pytest

from metering.money import Credits
from tests.house import MODEL
from tests.one_house import charged_as_billed, set_up

pytestmark = pytest.mark.anyio

HELLO = [{"role": "user", "content": "Hello"}]
AT_ONCE = {"retry-after-ms": "1"}  # OpenAI may say so, and the client obeys.


async def test_an_error_of_openai_is_tried_again_as_the_client_is_used_to(house, sync, door):
    """500 three times: three calls, three rows, no charge."""
    acme = await house.business()
    house.openai.fails(500, headers=AT_ONCE)
    chat = sync(acme.key).chat.completions

    with pytest.raises(openai.InternalServerError) as raised:
        await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO)

    assert raised.value.status_code == 500
    assert len(door) == len(house.openai.requests) == 3
    rows = await charged_as_billed(acme)
    assert [(row.http_status, row.success, row.outcome) for row in rows] == (
        [(500, False, "released")] * 3
    )


async def test_a_rate_limit_of_openai_is_waited_for(house, sync, door):
    """Its retry headers pass, so the client comes back when OpenAI says; one bill."""
    acme = await house.business()
    house.openai.fails(429, headers=AT_ONCE, times=1)
    chat = sync(acme.key).chat.completions

    reply = await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO)

    assert reply.choices
    assert len(door) == 2
    failed, served = await charged_as_billed(acme)
    assert (failed.http_status, failed.credits_used) == (429, Credits(0))
    assert served.success


async def test_a_rate_limit_that_stays_is_told_with_its_headers(house, sync):
    """RateLimitError, retry-after and OpenAI's own words."""
    acme = await house.business()
    house.openai.fails(429, headers={"retry-after": "7", "x-should-retry": "false"})
    chat = sync(acme.key).chat.completions

    with pytest.raises(openai.RateLimitError) as raised:
        await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO)

    assert raised.value.response.headers["retry-after"] == "7"
    assert raised.value.code == "rate_limit_exceeded"
    await charged_as_billed(acme)


async def test_our_key_being_refused_is_not_the_callers_authentication_error(house, sync, door):
    """502, once: an app that saw 401 would throw away its own good key."""
    acme = await house.business()
    house.openai.fails(401)
    chat = sync(acme.key).chat.completions

    with pytest.raises(openai.InternalServerError) as raised:
        await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO)

    assert (raised.value.status_code, raised.value.code) == (502, "upstream_auth_error")
    assert len(door) == 1
    await charged_as_billed(acme)


@set_up(openai__first_byte_timeout_s="0.3")
async def test_an_upstream_that_never_answers_is_not_asked_again(house, sync, door):
    """504: it may have been billed to us, so the client must not buy it twice."""
    acme = await house.business()
    house.openai.hangs(billed=False)
    chat = sync(acme.key).chat.completions

    with pytest.raises(openai.InternalServerError) as raised:
        await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO)

    assert (raised.value.status_code, raised.value.code) == (504, "upstream_error")
    assert len(door) == 1
    (row,) = await charged_as_billed(acme)
    assert (row.http_status, row.success) == (504, False)


async def test_a_call_that_openai_does_not_understand_is_told_in_its_words(house, sync, door):
    """400 passes through, once, and costs nothing."""
    acme = await house.business()
    house.openai.fails(400, {"error": {"message": "Bad tool.", "param": "tools", "code": "x"}})
    chat = sync(acme.key).chat.completions

    with pytest.raises(openai.BadRequestError) as raised:
        await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO)

    assert (raised.value.param, raised.value.code) == ("tools", "x")
    assert len(door) == 1
    await charged_as_billed(acme)
