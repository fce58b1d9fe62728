"""Endings that nobody plans: a reply cut after its caller left, too long, absurd, or an error."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway import proxy
from metering.money import Credits
from tests.house import House
from tests.one_house import set_up

pytestmark = pytest.mark.anyio


@set_up(openai__drains_max="0")
async def test_a_caller_that_leaves_and_is_not_waited_for_pays_for_its_prompt(
    house: House,
) -> None:
    """Past the bound the reply is cut: what was seen is counted, and that is never nothing."""
    acme = await house.business()
    house.openai.holds_replies(asyncio.Event())

    call = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)
    call.cancel()
    await asyncio.wait([call])

    (row,) = await acme.transactions()
    assert (row.outcome, row.usage_source, row.estimated) == ("settled", "counted", True)
    assert Credits(0) < row.credits_used <= row.credits_held
    assert row.usage["input"] > 0


async def test_a_json_reply_past_the_bound_is_passed_on_and_charged(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not kept whole; the usage near its end prices it."""
    monkeypatch.setattr(proxy, "JSON_REPLY_MOST_BYTES", 1000)
    acme = await house.business()
    house.openai.says("all work and no play " * 500)

    reply = await house.chat(acme, max_completion_tokens=10_000)

    assert reply.json()["choices"][0]["message"]["content"].startswith("all work")
    assert "x-credits-held" in reply.headers
    (bill,) = house.openai.billed
    (row,) = await acme.transactions()
    assert (row.credits_used, row.success) == (house.price_of(bill).credits_used, True)
    assert row.usage_source == "reported"


async def test_usage_that_no_model_can_have_is_capped_at_the_hold(house: House) -> None:
    """It is flagged, and the header says what was charged."""
    acme = await house.business()
    house.openai.with_usage({"prompt_tokens": 900_000_000, "completion_tokens": 5,
                             "total_tokens": 900_000_005})  # fmt: skip

    reply = await house.chat(acme)

    (row,) = await acme.transactions()
    assert row.credits_used == row.credits_held
    assert (row.estimated, row.shortfall) == (True, Credits(0))
    assert reply.headers["x-credits-used"] == str(row.credits_used)


async def test_an_error_in_a_200_is_no_success_and_costs_nothing(house: House) -> None:
    """Some servers say so; nothing was generated."""
    acme = await house.business()
    house.openai.fails(200, {"error": {"message": "no", "type": "server_error", "code": None}})

    await house.chat(acme)

    (row,) = await acme.transactions()
    assert (row.success, row.credits_used) == (False, Credits(0))


async def test_a_balance_that_affords_nothing_is_refused_without_counting(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting a large prompt costs seconds, and would not help."""
    acme = await house.business("0")
    counted: list[object] = []
    monkeypatch.setattr(house.parts.pricing.quotes, "tighten", counted.append)

    reply = await house.chat(acme)

    assert (reply.status_code, counted) == (402, [])


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/credits HTTP/1.1\r\n\r\n",
        b"GET /v1/credits HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /v1/models HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n",
        b"POST /v1/models HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_a_request_that_two_parsers_could_read_differently_is_refused(
    house: House, head: bytes
) -> None:
    """No host, two hosts, a coding beside chunked: 400, and the connection ends."""
    host, port = house.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head)

    answer = await reader.read()

    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_request"
    writer.close()
