"""Pictures through the gateway: charged is what OpenAI billed, whatever becomes of the call."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest

from metering.money import Credits
from tests.gateway.refusal import refusal_in
from tests.house import Acme, House
from tests.media import send
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio

PICTURE = ("image[]", "cat.png", b"\x89PNG" + bytes(5000))


async def generate(acme: Acme, **fields: Any) -> httpx2.Response:
    body = {"model": "gpt-image-1.5", "prompt": "a cat on the moon"} | fields
    return await acme.house.client.post("/v1/images/generations", json=body, headers=acme.headers)


@pytest.mark.parametrize("model", ["gpt-image-1.5", "gpt-image-1-mini", "gpt-image-2"])
@pytest.mark.parametrize("quality", ["low", "high", "auto"])
async def test_pictures_are_charged_as_billed(house: House, model, quality):
    """Prompt, tokens of the picture, and as many as were asked for."""
    acme = await house.business()

    reply = await generate(acme, model=model, quality=quality, n=2, size="1024x1536")

    assert (reply.status_code, len(reply.json()["data"])) == (200, 2)
    (row,) = await charged_as_billed(acme)
    assert (row.usage_source, row.estimated, row.endpoint) == (
        "reported",
        False,
        "images.generations",
    )
    assert reply.headers["x-credits-used"] == str(row.credits_used)
    assert row.credits_used <= row.credits_held


async def test_a_known_picture_has_a_known_price(house: House):
    """272 tokens at $32 and the prompt's 5 at $5 are 8,729 micro-dollars."""
    acme = await house.business()

    await generate(acme, quality="low", size="1024x1024", prompt="a cat on the moon")

    (row,) = await charged_as_billed(acme)
    assert dict(row.usage) == {"input": 5, "image_output": 272}
    assert row.cost_to_us.pico == (5 * 5 + 272 * 32) * 10**6


async def test_a_stream_of_pictures_is_charged_as_billed(house: House):
    """Two partial pictures of 2 MB in one event each, and the usage behind the last one."""
    acme = await house.business()
    house.openai.changes(picture_bytes=2_000_000)

    reply = await generate(acme, stream=True, partial_images=2, quality="medium")

    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.text.count("event: ") == 3
    (row,) = await charged_as_billed(acme)
    assert (row.usage_source, row.success) == ("reported", True)


async def test_an_edit_is_forwarded_byte_for_byte(house: House):
    """Two pictures and a mask, in a body that is not touched."""
    acme = await house.business()
    fields = [("prompt", "wider"), ("model", "gpt-image-1.5"), ("quality", "low"), ("n", "2")]

    reply = await send(acme, "/images/edits", fields, [PICTURE, PICTURE, ("mask", "m.png", b"x")])

    assert reply.status_code == 200
    (request,) = house.openai.requests
    assert dict(request.headers)[b"content-type"].startswith(b"multipart/form-data; boundary=")
    assert request.body == reply.request.content
    (row,) = await charged_as_billed(acme)
    assert row.usage["image_input"] == 2 * 3 * 194


async def test_an_edit_can_be_streamed(house: House):
    """`stream` is a text in such a body."""
    acme = await house.business()
    fields = [
        ("stream", "true"),
        ("partial_images", "1"),
        ("prompt", "p"),
        ("model", "gpt-image-2"),
    ]

    reply = await send(acme, "/images/edits", fields, [PICTURE])

    assert "image_edit.completed" in reply.text
    await charged_as_billed(acme)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_worst_case_is_covered_by_the_hold(house: House, stream):
    """Whatever size and quality `auto` turns out to be."""
    acme = await house.business(credits="500.00")
    house.openai.worst_case()
    fields = [("prompt", "p" * 999), ("model", "gpt-image-2")]
    fields += [("stream", "true"), ("partial_images", "3")] if stream else [("n", "4")]

    await send(acme, "/images/edits", fields, [PICTURE] * 3)

    (row,) = await charged_as_billed(acme)
    assert row.credits_used <= row.credits_held


async def test_without_usage_the_pictures_are_counted(house: House):
    """By the size and quality that the reply names: marked as estimated."""
    acme = await house.business()
    house.openai.without_usage()

    await generate(acme, n=3, quality="low", size="1024x1024")

    (row,) = await charged_as_billed(acme)
    assert (row.usage_source, row.estimated) == ("counted", True)


async def test_a_caller_that_leaves_pays_for_its_picture(house: House):
    """A picture is made to its end, whoever waits for it."""
    acme = await house.business()
    may_answer = asyncio.Event()
    house.openai.holds_replies(may_answer)

    call = asyncio.create_task(generate(acme))
    await house.openai.received(1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    may_answer.set()

    (row,) = await charged_as_billed(acme)
    assert row.credits_used > Credits(0)


async def test_an_error_of_openai_costs_nothing(house: House):
    """Its words are passed on."""
    acme = await house.business()
    house.openai.fails(400, {"error": {"message": "no", "code": "moderation_blocked"}})

    reply = await generate(acme)

    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "moderation_blocked"
    await charged_as_billed(acme)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"size_of": 1}, "size_of"),
        ({"output_format": "svg"}, "output_format"),
        ({"svg": {"model": "gpt-6-astra"}}, "svg"),
        ({"frame_count": 3}, "frame_count"),
        ({"quality": "xhigh"}, "quality"),
        ({"n": 2, "stream": True}, "n"),
    ],
)
async def test_what_is_not_bounded_is_refused(house: House, fields, param):
    """And nothing is forwarded."""
    acme = await house.business()

    reply = await generate(acme, **fields)

    assert refusal_in(reply)[:3] == (400, "invalid_request_error", "cost_not_bounded")
    assert reply.json()["error"]["param"] == param
    assert house.openai.requests == []


async def test_the_retired_model_of_variations_has_no_price(house: House):
    """The endpoint is served; the card decides."""
    acme = await house.business()

    refused = await send(acme, "/images/variations", [("model", "dall-e-2")], [("image", "a", b"")])

    assert refusal_in(refused)[2] == "model_not_priced"
    assert json.loads(refused.content)["error"]["code"] == "model_not_priced"
