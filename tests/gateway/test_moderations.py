"""Moderations end to end: free, and still authenticated, limited and recorded."""

from __future__ import annotations

from typing import Any

import pytest

from metering.money import Credits
from tests.one_house import with_limits
from tests.rows import MODERATION, add_rows

pytestmark = pytest.mark.anyio


async def judges(house: Any, acme: Any, **fields: Any) -> Any:
    add_rows(house, MODERATION)
    return await house.client.post(
        "/v1/moderations", json={"input": "hello"} | fields, headers=acme.headers
    )


async def test_it_costs_nothing_and_leaves_a_row(house):
    """The row is no estimate: that it is free is known."""
    acme = await house.business()

    reply = await judges(house, acme)

    assert reply.json()["results"][0]["flagged"] is False
    assert (reply.headers["x-credits-used"], reply.headers["x-credits-held"]) == ("0.00", "0.00")
    (row,) = await acme.transactions()
    assert (row.endpoint, row.credits_used, row.usage) == ("moderations", Credits(0), {})
    assert (row.outcome, row.estimated, row.success) == ("settled", False, True)
    assert await acme.available() == acme.topped_up


async def test_it_needs_no_credits(house):
    """A business that has used all of them still may have its users' texts judged."""
    acme = await house.business("0")

    assert (await judges(house, acme)).status_code == 200


async def test_the_default_model_is_written_into_the_body(house):
    """What is recorded is what OpenAI was asked for."""
    acme = await house.business()

    await judges(house, acme, input=[{"type": "text", "text": "x"}], model=None)

    assert house.openai.requests[0].fields["model"] == "omni-moderation-latest"
    (row,) = await acme.transactions()
    assert row.model == "omni-moderation-latest"


async def test_a_chat_completion_has_no_default_model(house):
    """OpenAI has none for it either."""
    acme = await house.business()

    reply = await house.chat(acme, model=None)

    assert reply.json()["error"]["param"] == "model"


async def test_it_needs_a_key(house):
    """Free is not open."""
    add_rows(house, MODERATION)

    reply = await house.client.post("/v1/moderations", json={"input": "x"})

    assert (reply.status_code, house.openai.requests) == (401, [])


async def test_it_counts_against_the_requests_of_a_key(house):
    """A free call takes a turn like any other."""
    acme = await with_limits(await house.business(), requests_per_minute=1)

    first, second = await judges(house, acme), await judges(house, acme)

    assert (first.status_code, second.status_code) == (200, 429)
    assert len(house.openai.requests) == 1


async def test_refusal_of_openai_is_passed_on(house):
    """And recorded."""
    acme = await house.business()
    house.openai.fails(429)

    assert (await judges(house, acme)).status_code == 429
    (row,) = await acme.transactions()
    assert (row.http_status, row.success) == (429, False)
