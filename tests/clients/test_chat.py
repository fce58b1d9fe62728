"""Chat completions through the official client; it is charged what OpenAI billed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tests.house import MODEL
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio

HELLO = [{"role": "user", "content": "Hello"}]


async def test_a_blocking_client_gets_its_answer(house, sync, door):
    """One request, one row, one bill; the id that the client logs is OpenAI's."""
    acme = await house.business()
    house.openai.says("Akwaaba!")
    chat = sync(acme.key).chat.completions

    reply = await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO)

    assert reply.choices[0].message.content == "Akwaaba!"
    assert door == ["POST /v1/chat/completions"]
    (row,) = await charged_as_billed(acme)
    assert reply.usage.total_tokens == row.tokens_used
    assert reply._request_id == row.upstream_request_id


async def test_an_async_client_gets_twenty_answers_at_once(house, asynchronous):
    """Every call is held, charged and recorded by itself."""
    acme = await house.business()

    async with asynchronous(acme.key) as client:
        calls = [client.chat.completions.create(model=MODEL, messages=HELLO) for _ in range(20)]
        replies = await asyncio.gather(*calls)

    assert len({reply.id for reply in replies}) == len(await charged_as_billed(acme)) == 20


async def test_the_raw_reply_shows_the_figures(house, sync):
    """x-credits-used and x-credits-remaining, without a change to the client."""
    acme = await house.business()
    chat = sync(acme.key).chat.completions

    raw = await asyncio.to_thread(chat.with_raw_response.create, model=MODEL, messages=HELLO)

    (row,) = await charged_as_billed(acme)
    assert raw.headers["x-transaction-id"] == row.id
    assert raw.headers["x-credits-used"] == str(row.credits_used)
    assert raw.headers["x-credits-held"] == str(row.credits_held)
    assert raw.headers["x-credits-remaining"] == str(await acme.available())
    assert int(raw.headers["x-gateway-overhead-ms"]) >= 0
    assert raw.parse().choices[0].finish_reason == "stop"


async def test_extra_headers_say_who_it_is_for(house, sync):
    """X-User and X-Feature are in the row, and OpenAI does not see them."""
    acme = await house.business()
    chat = sync(acme.key).chat.completions
    headers = {"X-User": "ama", "X-Feature": "greeting"}

    await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO, extra_headers=headers)

    (row,) = await charged_as_billed(acme)
    assert (row.user, row.feature) == ("ama", "greeting")
    forwarded = {name for name, _ in house.openai.requests[0].headers}
    assert not forwarded & {b"x-user", b"x-feature"}


async def test_the_key_and_the_headers_of_the_client_stay_here(house, sync):
    """OpenAI sees our key, our user agent, and none of the organisation a caller names."""
    acme = await house.business()
    client = sync(acme.key, organization="org-other", project="proj-other")
    chat = client.chat.completions

    await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO)

    (request,) = house.openai.requests
    seen = dict(request.headers)
    assert acme.key.encode() not in b"".join(seen.values())
    assert seen[b"user-agent"] == b"credit-gateway"
    assert not any(name.startswith((b"x-stainless", b"openai-")) for name in seen)


async def test_a_tool_call_comes_back_whole(house, sync):
    """Tools that the app runs itself are served."""
    acme = await house.business()
    house.openai.calls_tool("weather", '{"city": "Accra"}')
    chat = sync(acme.key).chat.completions
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "weather", "parameters": parameters}}

    reply = await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO, tools=[tool])

    (call,) = reply.choices[0].message.tool_calls
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "Accra"}
    assert house.openai.requests[0].fields["tools"] == [tool]
    await charged_as_billed(acme)


class Price(BaseModel):
    """What the model is to fill in."""

    cedis: int


async def test_a_structured_answer_is_parsed(house, sync):
    """`parse` sends a JSON schema, which passes unchanged."""
    acme = await house.business()
    house.openai.says('{"cedis": 12}')
    chat = sync(acme.key).chat.completions

    reply = await asyncio.to_thread(chat.parse, model=MODEL, messages=HELLO, response_format=Price)

    assert reply.choices[0].message.parsed == Price(cedis=12)
    await charged_as_billed(acme)


async def test_several_choices_are_all_charged(house, sync):
    """n = 3 is three times the output."""
    acme = await house.business()
    chat = sync(acme.key).chat.completions

    reply = await asyncio.to_thread(chat.create, model=MODEL, messages=HELLO, n=3)

    assert len(reply.choices) == 3
    await charged_as_billed(acme)


async def test_a_client_that_stops_waiting_pays_what_openai_billed(house, sync):
    """Its time-out ends its wait; the call to OpenAI goes on and is charged."""
    acme = await house.business()
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    chat = sync(acme.key, timeout=0.3, max_retries=0).chat.completions

    call = asyncio.create_task(asyncio.to_thread(chat.create, model=MODEL, messages=HELLO))
    left: Any
    (left,) = await asyncio.gather(call, return_exceptions=True)
    openai_may_answer.set()

    assert type(left).__name__ == "APITimeoutError"
    (row,) = await charged_as_billed(acme)
    assert row.usage_source == "reported"


APP = """
from openai import OpenAI
reply = OpenAI().chat.completions.create(
    model="gpt-5.4-mini", messages=[{"role": "user", "content": "Hello"}]
)
print(reply.choices[0].message.content)
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

    assert (app.returncode, printed) == (0, b"Akwaaba!\n")
    await charged_as_billed(acme)
