"""What a key may call, and what nobody may: refused by name, never forwarded."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.refusal import Refusal, refusal_in
from tests.house import MODEL, House
from tests.one_house import set_up, with_scopes

pytestmark = pytest.mark.anyio

FEATURE = {
    "features__idea__credits": "2.50",
    "features__idea__models": f'["{MODEL}"]',
    "features__idea__max_input_tokens": "100",
    "features__idea__max_output_tokens": "1000",
    "features__idea__max_n": "1",
}


async def test_a_model_that_is_not_the_keys_is_refused(house: House):
    """403 model_not_allowed; the list of models shows what is left."""
    acme = await house.business()
    narrow = await with_scopes(acme, models=frozenset({"gpt-5.4"}))

    reply = await house.chat(narrow)

    assert refusal_in(reply) == (403, "permission_error", "model_not_allowed", "false", None)
    assert reply.json()["error"]["param"] == "model"
    assert (await house.chat(narrow, model="gpt-5.4")).status_code == 200
    listed = await house.client.get("/v1/models", headers=narrow.headers)
    assert [model["id"] for model in listed.json()["data"]] == ["gpt-5.4"]


@set_up(**{"models__gpt-5.4-mini__allowed": "false"})
async def test_a_model_that_is_switched_off_is_refused_to_everybody(house: House):
    """[models.NAME] allowed = false."""
    acme = await house.business()

    assert refusal_in(await house.chat(acme)).code == "model_not_allowed"
    assert house.openai.requests == []


async def test_a_model_without_a_price_is_refused(house: House):
    """400 model_not_priced; never zero."""
    acme = await house.business()

    for model in ("gpt-99", "ft:gpt-4.1-mini:acme::1", "../gpt-5.4", "text-embedding-3-small", "ü"):
        reply = await house.chat(acme, model=model)

        assert refusal_in(reply) == (
            Refusal(400, "invalid_request_error", "model_not_priced", "false")
        )
        assert reply.json()["error"]["param"] == "model"
    assert house.openai.requests == []


@set_up(**FEATURE)
async def test_a_feature_with_a_price_is_for_keys_that_list_it(house: House):
    """403 feature_not_allowed: a fixed price can be below what a call costs."""
    acme = await house.business()
    listed = await with_scopes(acme, features=frozenset({"idea"}))
    idea = {"X-Feature": "idea"}

    refused = await house.chat(acme, headers=idea)
    served = await house.chat(listed, headers=idea)

    assert refusal_in(refused) == (403, "permission_error", "feature_not_allowed", "false", None)
    assert served.headers["x-credits-used"] == "2.50"


@set_up(**FEATURE)
async def test_a_call_beyond_what_its_feature_covers_is_refused(house: House):
    """400 feature_limit_exceeded, naming the field and the bound."""
    acme = await with_scopes(await house.business(), features=frozenset({"idea"}))
    long = [{"role": "user", "content": "word " * 200}]
    beyond: dict[str, dict[str, Any]] = {
        "max_completion_tokens": {"max_completion_tokens": 1001},
        "n": {"n": 2},
        "messages": {"messages": long},
        "model": {"model": "gpt-5.4"},
    }

    for param, fields in beyond.items():
        reply = await house.chat(acme, headers={"X-Feature": "idea"}, **fields)

        assert reply.json()["error"]["param"] == param
        assert refusal_in(reply).status == (403 if param == "model" else 400)
    assert house.openai.requests == []


UNBOUNDED: dict[str, dict[str, Any]] = {
    "image_url": {
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}
        ]
    },
    "audio": {"audio": {"voice": "alloy", "format": "wav"}},
    "modalities": {"modalities": ["text", "video"]},
    "web_search_options": {"web_search_options": {}},
    "store": {"store": True},
    "service_tier": {"service_tier": "scale"},
    "tools[0].type": {"tools": [{"type": "web_search"}]},
    "moderation": {"moderation": {"policy": "x"}},
    "reasoning": {"reasoning": {"mode": "pro"}},
    "stream_options.other": {"stream": True, "stream_options": {"other": True}},
}


async def test_a_part_whose_cost_is_not_bounded_is_refused_by_its_name(house: House):
    """400 cost_not_bounded; the part is in `param` and in the text."""
    acme = await house.business()

    for part, fields in UNBOUNDED.items():
        reply = await house.chat(acme, **fields)

        assert refusal_in(reply) == (
            Refusal(400, "invalid_request_error", "cost_not_bounded", "false")
        ), part
        assert reply.json()["error"]["param"] == part
        assert part in reply.json()["error"]["message"]
    assert house.openai.requests == []
