"""POST /v1/credits/estimate: what the real call would be held for and told, without making it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from gateway.endpoints import METERED
from metering.money import Credits
from storage import businesses
from tests.gateway.refusal import refusal_in
from tests.house import MODEL, Acme, House
from tests.one_house import everything, set_up, with_scopes

pytestmark = pytest.mark.anyio

HELLO = [{"role": "user", "content": "Hello"}]
IDEA = {
    "features__idea__credits": "2.50",
    "features__idea__models": f'["{MODEL}"]',
    "features__idea__max_input_tokens": "4000",
    "features__idea__max_output_tokens": "4000",
    "features__idea__max_n": "1",
    "credits__default_max_output_tokens": "4000",
}


async def estimated(
    acme: Acme, headers: Mapping[str, str] | None = None, **fields: Any
) -> httpx2.Response:
    body = {"model": MODEL, "messages": HELLO} | fields
    return await acme.house.client.post(
        "/v1/credits/estimate", json=body, headers={**acme.headers, **(headers or {})}
    )


async def test_an_estimate_changes_nothing(house: House):
    """Nothing is held, nothing is forwarded, nothing is written."""
    acme = await house.business()
    await acme.balance()
    before = await everything(house)

    reply = await estimated(acme)

    assert reply.status_code == 200
    assert await everything(house) == before
    assert house.openai.requests == []


async def test_the_ceiling_is_never_below_what_the_call_costs(house: House):
    """Even when the model uses every token it may, for each choice."""
    acme = await house.business()
    fields: dict[str, Any] = {"max_completion_tokens": 300, "n": 3, "messages": HELLO * 20}
    estimate = (await estimated(acme, **fields)).json()
    house.openai.changes(worst=True)

    reply = await house.chat(acme, **fields)

    used = Credits.parse(reply.headers["x-credits-used"])
    assert used <= Credits.parse(estimate["ceiling"]) <= Credits.parse(estimate["held"])
    assert estimate["held"] == reply.headers["x-credits-held"]
    assert reply.json()["usage"]["prompt_tokens"] <= estimate["input_tokens"]["counted"]
    assert estimate["input_tokens"]["counted"] <= estimate["input_tokens"]["bound"]
    assert (estimate["output_limit"], estimate["choices"]) == (300, 3)
    (row,) = await acme.transactions()
    assert estimate["price_version"] == row.price_version


async def test_a_short_balance_is_told_what_it_affords(house: House):
    """The figures are those by which the real call is fitted."""
    acme = await house.business("0.30")
    estimate = (await estimated(acme)).json()

    reply = await house.chat(acme)

    assert (estimate["affordable"], estimate["fitted"], estimate["refusal"]) == (True, True, None)
    assert str(estimate["affordable_output_tokens"]) == reply.headers["x-credits-max-output-tokens"]
    assert estimate["held"] == reply.headers["x-credits-held"] == "0.30"


async def test_a_call_that_would_be_refused_is_told_with_its_code(house: House):
    """`affordable` is false and `refusal` is the code of the real call; the estimate is a 200."""
    acme = await house.business("0.001")

    estimate = (await estimated(acme)).json()
    refused = await house.chat(acme)

    assert (estimate["affordable"], estimate["fitted"]) == (False, False)
    assert estimate["refusal"] == refused.json()["error"]["code"] == "insufficient_credits"
    metadata = refused.json()["error"]["metadata"]
    assert estimate["affordable_output_tokens"] <= metadata["affordable_output_tokens"] + 64


async def test_whoever_wants_it_whole_is_told_that_it_does_not_fit(house: House):
    """`X-Credits-Fit: never` makes the ceiling the least."""
    acme = await house.business("0.30")

    estimate = (await estimated(acme, {"X-Credits-Fit": "never"})).json()

    assert estimate["refusal"] == "insufficient_credits"
    assert estimate["least"] == estimate["ceiling"]


async def test_a_suspended_business_is_told_so(house: House):
    """The state of the balance is an answer; it is not an error of the question."""
    acme = await house.business()
    async with house.database.write() as connection:
        await businesses.set_status(connection, acme.id, status="suspended", at=datetime.now(UTC))
    await house.parts.loops.crediting.apply(acme.id)

    assert (await estimated(acme)).json()["refusal"] == "business_suspended"
    assert (await house.chat(acme)).json()["error"]["code"] == "business_suspended"


async def test_credits_past_their_day_are_told_so(house: House, monkeypatch):
    """As the script that holds them will say."""
    acme = await house.business()
    monkeypatch.setattr("gateway.portal.estimate.time", lambda: 4_000_000_000.0)

    assert (await estimated(acme)).json()["refusal"] == "credits_expired"


@set_up(**IDEA)
async def test_a_fixed_price_is_the_whole_estimate(house: House):
    """However long the prompt; it is held whole or refused."""
    acme = await house.business(features=("idea",))
    feature = {"X-Feature": "idea"}

    estimate = (await estimated(acme, feature)).json()
    reply = await house.chat(acme, headers=feature)

    assert estimate["fixed_price"] is True
    assert estimate["ceiling"] == estimate["least"] == reply.headers["x-credits-used"] == "2.50"


REFUSED: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"model": "no-such-model"}, {}),
    ({"model": None}, {}),
    ({"messages": "x"}, {}),
    ({"n": 0}, {}),
    ({"store": True}, {}),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, {}),
    ({}, {"X-Feature": "idea"}),
    ({}, {"X-Credits-Fit": "maybe"}),
    ({}, {"Content-Encoding": "gzip"}),
]


@set_up(**IDEA)
@pytest.mark.parametrize(("fields", "headers"), REFUSED)
async def test_a_refusal_is_that_of_the_real_call(house: House, fields, headers):
    """Same status, same words."""
    acme = await house.business()

    estimate = await estimated(acme, headers, **fields)
    call = await house.chat(acme, headers=headers, **fields)

    assert estimate.status_code == call.status_code >= 400
    assert estimate.content == call.content


async def test_a_key_that_may_not_chat_may_not_ask_what_it_costs(house: House):
    """Its scopes count here too."""
    acme = await house.business()
    narrow = await with_scopes(acme, models=frozenset({"gpt-4.1"}))

    assert refusal_in(await estimated(narrow))[2] == "model_not_allowed"


@set_up(server__body_max_bytes="2000")
async def test_a_body_has_the_bound_of_a_call(house: House):
    """413 before more of it is read."""
    acme = await house.business()

    reply = await estimated(acme, messages=[{"role": "user", "content": "x" * 3000}])

    assert refusal_in(reply)[2] == "body_too_large"


async def test_without_a_key_nothing_is_estimated(house: House):
    """401, before the body is read."""
    reply = await house.client.post("/v1/credits/estimate", json={"model": MODEL})

    assert refusal_in(reply)[0] == 401


@pytest.mark.parametrize(
    ("body", "endpoint"),
    [
        ({"model": MODEL, "input": "Hello"}, "responses"),
        ({"model": "text-embedding-3-small", "input": ["a", "b"]}, "embeddings"),
        ({"model": "tts-1", "input": "Hello", "voice": "alloy"}, "audio.speech"),
        ({"input": "Hello"}, "moderations"),
        ({"model": "gpt-image-1", "prompt": "a cat"}, "images.generations"),
        ({"model": "gpt-3.5-turbo-instruct", "prompt": "Hello"}, "completions"),
    ],
)
async def test_any_json_call_has_an_estimate(house: House, body: dict[str, Any], endpoint: str):
    """Its ceiling is what the real call is held for, whichever endpoint it is for."""
    acme = await house.business()

    told = await house.client.post("/v1/credits/estimate", json=body, headers=acme.headers)

    paths = {each.name: path for (_, path), each in METERED.items()}
    estimate = told.json()
    assert (told.status_code, estimate["endpoint"]) == (200, endpoint)
    reply = await house.client.post(paths[endpoint], json=body, headers=acme.headers)
    assert reply.headers["x-credits-held"] == estimate["held"]
    assert Credits.parse(reply.headers["x-credits-held"]) >= Credits.parse(estimate["least"])


@pytest.mark.parametrize("named", ["audio.transcriptions", "nothing", ""])
async def test_an_endpoint_without_estimates_is_told_which_have_them(house: House, named: str):
    """A body of several parts is no JSON, and a slip is a slip."""
    acme = await house.business()

    reply = await house.client.post(
        f"/v1/credits/estimate?endpoint={named or '%20'}",
        json={"model": MODEL, "messages": HELLO},
        headers=acme.headers,
    )

    assert reply.status_code == 400
    assert "chat.completions" in reply.json()["error"]["message"]


async def test_an_endpoint_that_is_named_is_taken(house: House):
    """What it looks like does not count then; the fields are judged as its own."""
    acme = await house.business()

    reply = await house.client.post(
        "/v1/credits/estimate?endpoint=responses",
        json={"model": MODEL, "messages": HELLO},
        headers=acme.headers,
    )

    assert reply.status_code == 400
    assert "response" in reply.json()["error"]["message"]
