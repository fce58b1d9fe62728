"""Idempotency-Key: a repeated call gets the same answer, its business and nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.dev.stub_gates import Turnstile
from gateway.replays import Whole, packed, unpacked
from tests.gateway.refusal import refusal_in
from tests.gateway.repeated import IN_FLIGHT, asks, same
from tests.house import House
from tests.one_house import charged_as_billed, with_scopes

pytestmark = pytest.mark.anyio


async def test_a_repeated_call_gets_the_same_answer_and_is_charged_once(house: House):
    """Byte for byte, with the id and the figures of the first; OpenAI hears of it once."""
    acme = await house.business()

    first = await asks(acme)
    again = await asks(acme)
    thrice = await asks(acme)

    assert "idempotency-replayed" not in first.headers
    assert same(again, first)
    assert same(thrice, first)
    assert len(house.openai.requests) == 1
    (row,) = await charged_as_billed(acme)
    assert again.headers["x-transaction-id"] == row.id


@pytest.mark.parametrize("asked_for_usage", [True, False])
async def test_a_stream_is_repeated_byte_for_byte(house: House, asked_for_usage: bool):
    """With or without the usage event, and with the figures where they were asked for."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a", " timé")
    fields: dict[str, Any] = {
        "stream": True,
        "stream_options": {"include_usage": asked_for_usage},
        "headers": {"X-Credits-In-Stream": "1"},
    }

    first = await asks(acme, **fields)
    again = await asks(acme, **fields)

    assert same(again, first)
    assert first.content.count(b"data: [DONE]") == 1
    assert b": x-credits-used=" in again.content
    assert (b'"prompt_tokens"' in again.content) == asked_for_usage
    assert again.headers["content-type"].startswith("text/event-stream")
    assert len(house.openai.requests) == 1
    await charged_as_billed(acme)


async def test_bytes_that_are_no_text_come_back_as_they_were(house: House):
    """Redis holds text; a reply need not be any."""
    acme = await house.business()
    usage = '{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}'
    body = b'{"choices":[],"id":"\xff\xfe\x00","usage":' + usage.encode() + b"}"
    house.openai.changes(body=body)

    first = await asks(acme)
    again = await asks(acme)

    assert first.content == body
    assert same(again, first)
    await house.quiet()


def test_what_is_packed_comes_out_again():
    """Any bytes, any headers; a stream of events shrinks well."""
    event = b'data: {"id":"chatcmpl-1","choices":[{"delta":{"content":"x"}}]}\n\n'
    for body in (b"", bytes(range(256)), event * 5000):
        whole = Whole(200, [(b"a", b"\xff"), (b"a", b"2")], body)
        text = packed(whole)

        assert unpacked(text) == whole
        assert text.isascii()
    assert len(text) < len(body) / 10


async def test_a_caller_that_hung_up_gets_the_whole_answer_when_it_asks_again(house: House):
    """The reply was read to its end anyway, and paid for."""
    acme = await house.business()
    house.openai.streams("Once upon a time", " there was", " a meter")
    turnstile = Turnstile()
    house.openai.waits_between_chunks(turnstile)
    turnstile.lets_through()
    async with house.client.stream(
        "POST",
        "/v1/chat/completions",
        json={"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": "Hello"}]}
        | {"stream": True},
        headers={**acme.headers, "Idempotency-Key": "order-17"},
    ) as reply:
        id = reply.headers["x-transaction-id"]
        async for line in reply.aiter_lines():
            if line.startswith("data:"):
                break
    running = await asks(acme, stream=True)
    turnstile.opens()
    await house.quiet()

    again = await asks(acme, stream=True)

    assert refusal_in(running) == IN_FLIGHT
    assert running.json()["error"]["metadata"]["transaction_id"] == id
    assert again.headers["x-transaction-id"] == id
    assert b"a meter" in again.content
    assert again.content.endswith(b"data: [DONE]\n\n")
    assert len(house.openai.requests) == 1
    await charged_as_billed(acme)


async def test_a_json_caller_that_hung_up_gets_the_answer_when_it_asks_again(house: House):
    """A retry after a lost connection costs nothing."""
    acme = await house.business()
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    call = asyncio.create_task(asks(acme))
    await house.openai.received(1)
    call.cancel()
    await asyncio.wait([call])
    openai_may_answer.set()
    await house.quiet()

    again = await asks(acme)

    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    (row,) = await charged_as_billed(acme)
    assert again.headers["x-transaction-id"] == row.id


async def test_an_answer_can_be_had_without_credits(house: House):
    """It is paid for already: nothing is held for it."""
    acme = await house.business("0.30")
    first = await asks(acme, max_completion_tokens=20)
    while (await house.chat(acme, max_completion_tokens=2000)).status_code == 200:
        pass

    again = await asks(acme, max_completion_tokens=20)

    assert same(again, first)


async def test_another_key_of_the_business_gets_the_same_answer(house: House):
    """A key names a call of the business, whichever of its keys it was made with."""
    acme = await house.business()
    first = await asks(acme)

    again = await asks(await with_scopes(acme))

    assert same(again, first)


async def test_a_key_that_may_not_make_the_call_does_not_get_its_answer(house: House):
    """What the call needs is checked before its answer is looked for."""
    acme = await house.business()
    await asks(acme)
    narrow = await with_scopes(acme, models=frozenset({"gpt-4.1"}))

    assert refusal_in(await asks(narrow))[2] == "model_not_allowed"


async def test_a_replay_has_a_line_of_its_own(house: House, access_log):
    """It says which call it repeats, and that nothing was held or charged for it."""
    acme = await house.business()
    await asks(acme)
    access_log()
    first = await asks(acme)

    line = access_log().splitlines()[-1]

    assert '"replayed":true' in line
    assert first.headers["x-transaction-id"] in line
    assert '"credits_held":null' in line
    assert '"credits_used":"0.00"' in line
    assert "order-17" not in line
