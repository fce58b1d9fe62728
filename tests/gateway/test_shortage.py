"""Short of credits: each refusal says what was asked, what was found, what helps."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from metering.money import Credits
from storage import purchases
from tests.gateway.refusal import Refusal, refusal_in
from tests.house import ADMIN_TOKEN, Acme, House
from tests.one_house import charged_as_billed, set_up

pytestmark = pytest.mark.anyio

ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


async def adjusted(acme: Acme, credits: str) -> None:
    """An admin corrects the balance."""
    reply = await acme.house.client.post(
        f"/admin/businesses/{acme.id}/adjustments",
        json={"credits": credits, "reason": "a refund"},
        headers=ADMIN,
    )
    assert reply.status_code == 201, reply.text


async def test_too_few_credits_are_told_with_all_figures(house: House):
    """402; what the call may use, what there is, what would fit."""
    acme = await house.business("0.50")

    reply = await house.chat(acme, headers={"X-Credits-Fit": "never"})

    assert refusal_in(reply) == (402, "insufficient_quota", "insufficient_credits", "false", None)
    figures = reply.json()["error"]["metadata"]
    assert (figures["balance"], figures["held"]) == ("0.50", "0.00")
    assert Credits.parse(figures["required"]) > Credits.parse("0.50")
    assert datetime.fromisoformat(figures["expires_at"]) > datetime.now(UTC)
    affordable = figures["affordable_output_tokens"]
    assert f"lower max_completion_tokens to {affordable}" in reply.json()["error"]["message"]


async def test_what_is_called_affordable_is(house: House):
    """The figure in a refusal is not a guess: that call is served, one token more is not."""
    acme = await house.business("0.50")
    never = {"X-Credits-Fit": "never"}
    refused = await house.chat(acme, headers=never, max_completion_tokens=100_000)
    affordable = refused.json()["error"]["metadata"]["affordable_output_tokens"]

    more = await house.chat(acme, headers=never, max_completion_tokens=affordable + 1)
    served = await house.chat(acme, headers=never, max_completion_tokens=affordable)

    assert (more.status_code, served.status_code) == (402, 200)


@set_up(credits__out_of_credits_status="429")
async def test_too_few_credits_can_be_told_as_openai_does(house: House):
    """429 insufficient_quota; x-should-retry still ends it."""
    acme = await house.business("0")

    assert refusal_in(await house.chat(acme)) == (
        Refusal(429, "insufficient_quota", "insufficient_credits", "false")
    )


async def test_credits_past_their_day_are_told_so(house: House):
    """402 credits_expired; the next purchase begins anew."""
    acme = await house.business("0")
    long_ago = datetime.now(UTC) - timedelta(days=400)
    async with house.database.write() as connection:
        await purchases.top_up(
            connection, business=acme.id, credits=Credits.parse("50"), at=long_ago
        )
    await house.parts.loops.crediting.apply(acme.id)

    reply = await house.chat(acme)

    assert refusal_in(reply) == (402, "insufficient_quota", "credits_expired", "false", None)
    assert reply.json()["error"]["metadata"]["expires_at"].endswith("+00:00")
    assert house.openai.requests == []


async def test_credits_that_are_held_may_come_back_in_a_moment(house: House):
    """429 with Retry-After; enough in total, so it is no case for the owner."""
    acme = await house.business("1.40")
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    running = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)

    reply = await house.chat(acme, headers={"X-Credits-Fit": "never"})
    openai_may_answer.set()

    assert refusal_in(reply) == (429, "rate_limit_error", "credits_held", "true", "2")
    assert (await running).status_code == 200
    assert (await house.chat(acme, headers={"X-Credits-Fit": "never"})).status_code == 200


async def test_credits_that_are_owed_come_first(house: House):
    """402 credits_owed after a correction below nothing; a top-up pays it."""
    acme = await house.business("10.00")
    await adjusted(acme, "-25.00")

    refused = await house.chat(acme)
    await house.top_up(acme, "40.00")
    served = await house.chat(acme)

    assert refusal_in(refused) == (402, "insufficient_quota", "credits_owed", "false", None)
    assert Credits.parse(refused.json()["error"]["metadata"]["owed"]) > Credits(0)
    assert "15.00 credits are owed" in refused.json()["error"]["message"]
    assert served.status_code == 200
    (row,) = await acme.transactions()
    assert await acme.available() == Credits.parse("25.00") - row.credits_used


async def test_a_suspended_business_is_refused_until_it_is_resumed(house: House):
    """403 business_suspended; its credits stay."""
    acme = await house.business()

    await house.client.post(f"/admin/businesses/{acme.id}/suspend", headers=ADMIN)
    refused = await house.chat(acme)
    await house.client.post(f"/admin/businesses/{acme.id}/resume", headers=ADMIN)
    served = await house.chat(acme)

    assert refusal_in(refused) == (403, "permission_error", "business_suspended", "false", None)
    assert served.status_code == 200
    await charged_as_billed(acme)
