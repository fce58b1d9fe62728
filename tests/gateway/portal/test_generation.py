"""GET /v1/generation: one finished call, to the business that made it and to nobody else."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from gateway.dev.stub_gates import Turnstile
from storage import redis_keys
from tests.gateway.refusal import refusal_in
from tests.house import Acme, House

pytestmark = pytest.mark.anyio

UNKNOWN = "0198a1b2-0000-7000-8000-000000000000"
NOT_FOUND = (404, "invalid_request_error", "generation_not_found", "false", None)
PENDING = (404, "invalid_request_error", "generation_pending", "true", "1")


async def asked(acme: Acme, id: str) -> Any:
    return await acme.house.client.get("/v1/generation", params={"id": id}, headers=acme.headers)


def nothing_is_recorded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL answers and no call gets there."""

    async def nothing() -> int:
        return 0

    monkeypatch.setattr(house.parts.loops.recorder, "record_once", nothing)


async def settled(house: House) -> None:
    while house.parts.loops.settler.unanswered:
        await asyncio.sleep(0.001)


async def test_a_call_is_shown_by_the_id_of_its_reply(house: House):
    """Its figures are those of its row; what is not known, such as the stop reason, is left out."""
    acme = await house.business()
    reply = await house.chat(acme, headers={"X-User": "ama", "X-Feature": "chat"})
    (row,) = await acme.transactions()

    shown = (await asked(acme, reply.headers["x-transaction-id"])).json()["data"]

    usage = reply.json()["usage"]
    assert shown["id"] == row.id
    assert shown["upstream_id"] == reply.headers["x-request-id"]
    assert (shown["model"], shown["endpoint"]) == (row.model, "chat.completions")
    assert (shown["user"], shown["feature"]) == ("ama", "chat")
    assert shown["tokens_prompt"] == shown["native_tokens_prompt"] == usage["prompt_tokens"]
    assert shown["tokens_completion"] == usage["completion_tokens"]
    assert shown["usage"] == shown["total_cost"] == reply.headers["x-credits-used"]
    assert shown["credits_held"] == reply.headers["x-credits-held"]
    assert datetime.fromisoformat(shown["created_at"]) == row.timestamp
    assert shown["latency"] == row.first_byte_ms
    assert shown["latency"] + shown["generation_time"] == row.processing_time_ms
    assert "finish_reason" not in shown


async def test_cached_tokens_are_part_of_the_prompt(house: House):
    """As OpenAI counts them, and OpenRouter."""
    acme = await house.business()
    house.openai.changes(cached_tokens=3)
    reply = await house.chat(acme)
    await house.quiet()

    shown = (await asked(acme, reply.headers["x-transaction-id"])).json()["data"]

    assert shown["native_tokens_cached"] == 3
    assert shown["tokens_prompt"] == reply.json()["usage"]["prompt_tokens"]


async def test_what_openai_took_from_us_is_not_shown(house: House):
    """Cost and shortfall are the operator's; amounts are text."""
    acme = await house.business()
    reply = await house.chat(acme)
    (row,) = await acme.transactions()

    answer = await asked(acme, row.id)

    assert str(row.cost_to_us) not in answer.text
    assert not {"cost_to_us", "shortfall", "business_id", "key_id"} & set(answer.json()["data"])
    assert reply.status_code == 200


async def test_a_call_is_found_before_it_is_recorded(house: House, monkeypatch):
    """Whoever asks right after the reply gets the same as a moment later."""
    nothing_is_recorded(house, monkeypatch)
    acme = await house.business()
    reply = await house.chat(acme)
    await settled(house)
    id = reply.headers["x-transaction-id"]

    before = await asked(acme, id)
    monkeypatch.undo()
    await house.quiet()
    after = await asked(acme, id)

    assert before.status_code == 200
    assert before.json() == after.json()


async def test_a_call_that_runs_is_told_to_be_asked_for_again(house: House):
    """404, as long as there is nothing to tell; `x-should-retry` makes the difference."""
    acme = await house.business()
    openai_works = Turnstile()
    house.openai.waits_between_chunks(openai_works)
    async with house.stream(acme) as reply:
        openai_works.lets_through()
        id = reply.headers["x-transaction-id"]
        pending = await asked(acme, id)
        openai_works.opens()
        await reply.aread()
    await house.quiet()

    assert refusal_in(pending) == PENDING
    assert (await asked(acme, id)).status_code == 200


def neighbours(house: House, acme: Acme, others: list[Acme]) -> Acme:
    p = redis_keys.partition_of(acme.id)
    return next(other for other in others if redis_keys.partition_of(other.id) == p)


async def test_anothers_call_is_told_exactly_as_an_unknown_one(house: House, monkeypatch):
    """Running, waiting or recorded: even in the same partition nobody learns that it is there."""
    acme = await house.business()
    others = [await house.business(name=f"Other {n}") for n in range(80)]
    other = neighbours(house, acme, others)
    unknown = await asked(other, UNKNOWN)
    answers = []
    openai_works = Turnstile()
    house.openai.waits_between_chunks(openai_works)
    nothing_is_recorded(house, monkeypatch)
    async with house.stream(acme) as reply:
        openai_works.lets_through()
        id = reply.headers["x-transaction-id"]
        answers.append(await asked(other, id))
        openai_works.opens()
        await reply.aread()
    await settled(house)
    answers.append(await asked(other, id))
    monkeypatch.undo()
    await house.quiet()
    answers.append(await asked(other, id))

    assert refusal_in(unknown) == NOT_FOUND
    for answer in answers:
        assert refusal_in(answer) == NOT_FOUND
        assert answer.content == unknown.content
        assert set(answer.headers) == set(unknown.headers)
    assert (await asked(acme, id)).status_code == 200


@pytest.mark.parametrize("id", [UNKNOWN, "x", "req_0ce1480865ee935bc505bf38f8acdd53", "a" * 500])
async def test_an_id_that_nobody_has_is_not_found(house: House, id: str):
    """Whether or not it could be one."""
    acme = await house.business()

    assert refusal_in(await asked(acme, id)) == NOT_FOUND


@pytest.mark.parametrize("query", ["", "?id=", f"?id={UNKNOWN}&id={UNKNOWN}", "?ids=x"])
async def test_a_question_for_no_call_or_for_two_is_refused(house: House, query: str):
    """400, with what to ask."""
    acme = await house.business()

    reply = await house.client.get(f"/v1/generation{query}", headers=acme.headers)

    assert refusal_in(reply)[:3] == (400, "invalid_request_error", "invalid_request")
    assert "/v1/generation?id=" in reply.json()["error"]["message"]


async def test_without_a_key_nothing_is_told(house: House):
    """401 before anything is looked for."""
    reply = await house.client.get("/v1/generation", params={"id": UNKNOWN})

    assert refusal_in(reply)[0] == 401
