"""Embeddings end to end: what OpenAI billed is what is charged."""

from __future__ import annotations

from typing import Any

import pytest

from metering.money import Credits
from tests.rows import EMBEDDING, add_rows, charged_by_unit

pytestmark = pytest.mark.anyio

MODEL = EMBEDDING.id
SENTENCE = "The quick brown fox jumps over the lazy dog."  # 10 tokens.


async def embeds(house: Any, acme: Any, value: Any = SENTENCE, **fields: Any) -> Any:
    add_rows(house, EMBEDDING)
    body = {"model": MODEL, "input": value} | fields
    return await house.client.post("/v1/embeddings", json=body, headers=acme.headers)


@pytest.mark.parametrize(
    ("value", "tokens", "credits"),
    [
        # $0.02 a million, 12 credits for a dollar, times 1.5: 3.6e-7 credits a token, upward.
        (SENTENCE, 10, "0.000004"),
        ([SENTENCE] * 100, 1000, "0.00036"),
        ([1, 2, 3], 3, "0.000002"),
        ([[1] * 2000, [2] * 500], 2500, "0.0009"),
    ],
)
async def test_each_kind_of_input_is_charged_exactly(house, value, tokens, credits):
    """One row, one bill, in tokens of input."""
    acme = await house.business()

    reply = await embeds(house, acme, value)

    assert reply.status_code == 200
    (row,) = await charged_by_unit(acme)
    assert (row.endpoint, row.usage, row.tokens_used) == ("embeddings", {"input": tokens}, tokens)
    assert str(row.credits_used) == credits
    assert reply.headers["x-credits-used"] == credits
    assert reply.json()["usage"]["prompt_tokens"] == tokens


async def test_base64_comes_back_byte_for_byte(house):
    """The client's own default; the reply is not touched."""
    acme = await house.business()

    reply = await embeds(house, acme, encoding_format="base64", dimensions=8)

    assert len(reply.json()["data"][0]["embedding"]) == 44  # 8 floats of 4 bytes.
    assert house.openai.requests[0].fields == {
        "model": MODEL,
        "input": SENTENCE,
        "encoding_format": "base64",
        "dimensions": 8,
    }
    await charged_by_unit(acme)


async def test_worst_bill_is_within_what_was_held(house):
    """A token for each byte: no text has more."""
    acme = await house.business()
    house.openai.worst_case()

    await embeds(house, acme, ["é" * 500, "x", "y"])

    (row,) = await charged_by_unit(acme)
    assert row.usage == {"input": 1005}
    assert row.credits_held >= row.credits_used


async def test_missing_usage_is_counted(house):
    """And the row says that it is an estimate."""
    acme = await house.business()
    house.openai.without_usage()

    await embeds(house, acme)

    (row,) = await charged_by_unit(acme)
    assert (row.usage, row.usage_source, row.estimated) == ({"input": 10}, "counted", True)


async def test_many_short_inputs_are_no_absurd_usage(house):
    """All of them together may have more tokens than the model reads at once."""
    acme = await house.business()

    await embeds(house, acme, [[1] * 8000] * 20)

    (row,) = await charged_by_unit(acme)
    assert (row.tokens_used, row.usage_source) == (160_000, "reported")


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_refusal_of_openai_costs_nothing(house, status):
    """It is passed on."""
    acme = await house.business()
    house.openai.fails(status)

    reply = await embeds(house, acme)

    assert reply.status_code == status
    (row,) = await charged_by_unit(acme)
    assert row.credits_used == Credits(0)


async def test_without_credits_nothing_is_sent(house):
    """A call that cannot be fitted is refused."""
    acme = await house.business("0")

    reply = await embeds(house, acme)

    assert (reply.status_code, house.openai.requests) == (402, [])


async def test_a_model_of_another_family_is_refused(house):
    """A chat model has no price for embeddings."""
    acme = await house.business()

    reply = await embeds(house, acme, model="gpt-5.4-mini")

    assert reply.json()["error"]["code"] == "model_not_priced"
    assert house.openai.requests == []
