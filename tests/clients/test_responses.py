"""Responses through the official client; it is charged what OpenAI billed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from openai import BadRequestError, RateLimitError
from pydantic import BaseModel

from metering.money import Credits
from tests.house import MODEL
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


async def test_a_blocking_client_gets_its_response(house, sync, door):
    """One request, one row, one bill; the id that the client logs is OpenAI's."""
    acme = await house.business()
    house.openai.says("Akwaaba!")
    responses = sync(acme.key).responses

    reply = await asyncio.to_thread(
        responses.create, model=MODEL, input="Hello", instructions="Be brief."
    )

    assert reply.output_text == "Akwaaba!"
    assert (reply.status, reply.store) == ("completed", False)
    assert door == ["POST /v1/responses"]
    (row,) = await charged_as_billed(acme)
    assert reply.usage.total_tokens == row.tokens_used
    assert reply._request_id == row.upstream_request_id


async def test_an_async_client_streams(house, asynchronous):
    """Typed events, in order, and the whole response at their end."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a", " time")

    async with asynchronous(acme.key) as client:
        events = [
            event
            async for event in await client.responses.create(
                model=MODEL, input="Hello", stream=True
            )
        ]

    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text == "Once upon a time"
    (row,) = await charged_as_billed(acme)
    assert events[-1].response.usage.total_tokens == row.tokens_used


async def test_the_clients_own_stream_puts_the_response_together(house, asynchronous):
    """`responses.stream`, which checks what comes against what it has seen."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a", " time")

    async with (
        asynchronous(acme.key) as client,
        client.responses.stream(model=MODEL, input="Hello") as stream,
    ):
        kinds = {event.type async for event in stream}
        final = await stream.get_final_response()

    assert {"response.output_text.delta", "response.completed"} <= kinds
    assert final.output_text == "Once upon a time"
    await charged_as_billed(acme)


async def test_a_tool_is_called_and_answered(house, sync):
    """Two calls; the second brings what the first one said, and the answer."""
    acme = await house.business()
    house.openai.calls_tool("weather", '{"city": "Accra"}')
    responses = sync(acme.key).responses
    asked = [{"role": "user", "content": "How is the weather in Accra?"}]

    first = await asyncio.to_thread(responses.create, model=MODEL, input=asked, tools=[WEATHER])
    (call,) = first.output
    house.openai.resets()
    house.openai.says("31 degrees.")
    answer = {"type": "function_call_output", "call_id": call.call_id, "output": "31"}
    second = await asyncio.to_thread(
        responses.create,
        model=MODEL,
        input=[*asked, call.model_dump(exclude_none=True), answer],
        tools=[WEATHER],
    )

    assert json.loads(call.arguments) == {"city": "Accra"}
    assert second.output_text == "31 degrees."
    assert house.openai.requests[1].fields["input"][1]["type"] == "function_call"
    assert len(await charged_as_billed(acme)) == 2


class Price(BaseModel):
    """What the model is to fill in."""

    cedis: int


async def test_a_structured_answer_is_parsed(house, sync):
    """`parse` sends a JSON schema in `text.format`, which passes unchanged."""
    acme = await house.business()
    house.openai.says('{"cedis": 12}')
    responses = sync(acme.key).responses

    reply = await asyncio.to_thread(
        responses.parse, model=MODEL, input="What is it?", text_format=Price
    )

    assert reply.output_parsed == Price(cedis=12)
    assert house.openai.requests[0].fields["text"]["format"]["type"] == "json_schema"
    await charged_as_billed(acme)


async def test_input_tokens_are_counted_for_nothing(house, sync):
    """Before a call is made: as many as it then uses."""
    acme = await house.business()
    responses = sync(acme.key).responses

    counted = await asyncio.to_thread(
        responses.input_tokens.count, model=MODEL, input="How long am I?"
    )
    reply = await asyncio.to_thread(responses.create, model=MODEL, input="How long am I?")

    assert counted.input_tokens == reply.usage.input_tokens
    free, charged = await charged_as_billed(acme)
    assert (free.endpoint, free.credits_used) == ("responses.input_tokens", Credits(0))
    assert charged.credits_used > Credits(0)


async def test_a_conversation_is_compacted_and_goes_on(house, sync):
    """What comes back is the input of the next response."""
    acme = await house.business("500.00")
    responses = sync(acme.key).responses
    asked = [{"role": "user", "content": "Remember the number 7."}]

    compacted = await asyncio.to_thread(responses.compact, model=MODEL, input=asked)
    again = [item.model_dump(exclude_none=True) for item in compacted.output]
    reply = await asyncio.to_thread(responses.create, model=MODEL, input=again)

    assert [item["type"] for item in again if "type" in item][-1] == "compaction"
    assert reply.status == "completed"
    rows = await charged_as_billed(acme)
    assert [row.endpoint for row in rows] == ["responses.compact", "responses"]


async def test_what_is_refused_is_an_error_of_the_clients(house, sync):
    """400 with the part in `param`, which the client does not try again."""
    acme = await house.business()
    responses = sync(acme.key).responses

    with pytest.raises(BadRequestError) as refused:
        await asyncio.to_thread(
            responses.create, model=MODEL, input="Hello", tools=[{"type": "web_search"}]
        )

    assert (refused.value.code, refused.value.param) == ("cost_not_bounded", "tools[0].type")
    assert house.openai.requests == []


async def test_an_error_in_the_middle_of_a_stream_reaches_the_client(house, asynchronous):
    """As OpenAI sends it, an event like any other; what came before is charged."""
    acme = await house.business()
    house.openai.changes(ends="error")

    async with asynchronous(acme.key) as client:
        stream = await client.responses.create(model=MODEL, input="Hello", stream=True)
        events = [event async for event in stream]

    assert (events[-1].type, events[-1].code) == ("error", "server_error")
    (row,) = await acme.transactions()
    assert (row.usage_source, row.success) == ("counted", False)


async def test_a_rate_limit_of_openai_is_passed_on(house, sync):
    """429 with its headers; nothing is charged."""
    acme = await house.business()
    house.openai.fails(429)
    responses = sync(acme.key, max_retries=0).responses

    with pytest.raises(RateLimitError):
        await asyncio.to_thread(responses.create, model=MODEL, input="Hello")

    (row,) = await charged_as_billed(acme)
    assert row.credits_used == Credits(0)


async def test_a_client_that_leaves_a_stream_pays_what_openai_billed(house, asynchronous):
    """It takes the first words and closes."""
    acme = await house.business()
    house.openai.streams(*[" word"] * 100)

    async with asynchronous(acme.key) as client:
        stream = await client.responses.create(model=MODEL, input="Hello", stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
        await stream.close()

    (row,) = await charged_as_billed(acme)
    assert (row.usage_source, dict(row.usage)["output"]) == ("reported", 100)


APP = """
from openai import OpenAI
client = OpenAI()
print(client.responses.create(model="gpt-5.4-mini", input="Hello").output_text)
with client.responses.stream(model="gpt-5.4-mini", input="Hello") as stream:
    print(stream.get_final_response().output_text)
"""


async def test_an_app_changes_its_environment_and_nothing_else(house, tmp_path: Path):
    """OPENAI_BASE_URL and OPENAI_API_KEY; the app runs by itself, unchanged."""
    acme = await house.business()
    house.openai.says("Akwaaba!")

    app = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        APP,
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "OPENAI_BASE_URL": f"{house.url}/v1",
            "OPENAI_API_KEY": acme.key,
        },
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await app.communicate()

    assert (app.returncode, printed) == (0, b"Akwaaba!\nAkwaaba!\n")
    assert len(await charged_as_billed(acme)) == 2
