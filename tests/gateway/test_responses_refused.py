"""Responses that are fitted to the balance, or refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.refusal import refusal_in
from tests.gateway.responding import SEARCH, ask
from tests.house import House
from tests.one_house import charged_as_billed, set_up

pytestmark = pytest.mark.anyio


# Fitting


async def test_a_call_that_is_too_dear_is_fitted(house: House):
    """The limit in the body is what the balance affords, and a header says so."""
    acme = await house.business("0.20")
    house.openai.worst_case()

    reply = await ask(acme, model="gpt-6-sol", max_output_tokens=100_000)

    assert reply.status_code == 200
    limit = house.openai.requests[0].fields["max_output_tokens"]
    assert 16 <= limit < 100_000
    assert reply.headers["x-credits-max-output-tokens"] == str(limit)
    await charged_as_billed(acme)


@set_up(credits__min_output_tokens="1")
async def test_no_call_is_fitted_below_what_openai_takes(house: House):
    """A limit below 16 would be a 400; what affords less is refused with 402 before."""
    statuses = []
    for micro in range(6_000, 14_000, 250):
        acme = await house.business(f"{micro / 1_000_000:.6f}")
        statuses.append((await ask(acme, model="gpt-6-sol", input="Hi")).status_code)

    limits = [request.fields["max_output_tokens"] for request in house.openai.requests]
    assert set(statuses) == {402, 200}
    assert statuses == sorted(statuses, reverse=True)
    assert 16 <= min(limits) < 24


async def test_a_call_without_credits_is_refused(house: House):
    """402 with the figures; nothing is sent."""
    acme = await house.business("0.0001")

    reply = await ask(acme)

    refused = refusal_in(reply)
    assert (refused.status, refused.type) == (402, "insufficient_quota")
    assert house.openai.requests == []


# What is refused


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"tools": SEARCH}, "tools[0].type"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"service_tier": "ultrafast"}, "service_tier"),
    ],
)
async def test_what_is_not_bounded_is_refused_by_name(house: House, fields: Any, part: str):
    """400 cost_not_bounded; nothing is held or sent."""
    acme = await house.business()

    reply = await ask(acme, **fields)

    assert refusal_in(reply)[:3] == (400, "invalid_request_error", "cost_not_bounded")
    assert reply.json()["error"]["param"] == part
    assert house.openai.requests == []
    assert await acme.available() == acme.topped_up


async def test_a_call_without_a_model_is_refused(house: House):
    """OpenAI would take the one of a prompt template, or of a conversation."""
    acme = await house.business()

    reply = await ask(acme, model=None)

    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "model"
