"""Embeddings and moderations through the official client."""

from __future__ import annotations

import asyncio

import pytest

from metering.money import Credits
from tests.rows import EMBEDDING, MODERATION, add_rows, charged_by_unit

pytestmark = pytest.mark.anyio


async def test_the_client_reads_the_base64_that_it_asks_for(house, sync, door):
    """It asks for base64 by itself and gives its app numbers."""
    add_rows(house, EMBEDDING)
    acme = await house.business()
    embeddings = sync(acme.key).embeddings

    reply = await asyncio.to_thread(
        embeddings.create, model=EMBEDDING.id, input=["Hello", "there"], dimensions=16
    )

    assert house.openai.requests[0].fields["encoding_format"] == "base64"
    assert [one.embedding[0] for one in reply.data] == [-3 / 256] * 2
    assert len(reply.data[1].embedding) == 16
    assert door == ["POST /v1/embeddings"]
    (row,) = await charged_by_unit(acme)
    assert reply.usage.prompt_tokens == row.tokens_used == 2


async def test_the_client_sends_token_ids_as_it_was_given_them(house, asynchronous):
    """As LangChain does."""
    add_rows(house, EMBEDDING)
    acme = await house.business()

    async with asynchronous(acme.key) as client:
        raw = await client.embeddings.with_raw_response.create(
            model=EMBEDDING.id, input=[[9906], [1070, 5]], encoding_format="float"
        )

    (row,) = await charged_by_unit(acme)
    assert raw.headers["x-credits-used"] == str(row.credits_used)
    assert raw.parse().usage.total_tokens == row.tokens_used == 3


async def test_the_client_has_a_text_judged(house, sync):
    """Without a model, as most apps do; it costs nothing."""
    add_rows(house, MODERATION)
    acme = await house.business()

    reply = await asyncio.to_thread(sync(acme.key).moderations.create, input=["Hello", "there"])

    assert [one.flagged for one in reply.results] == [False, False]
    assert reply.model == "omni-moderation-latest"
    (row,) = await acme.transactions()
    assert (row.credits_used, row.success) == (Credits(0), True)
