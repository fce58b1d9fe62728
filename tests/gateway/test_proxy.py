"""The main path: what it stands on may be away, and what each reply says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from metering.money import Credits
from storage.errors import RecordsUnavailable
from tests import engines
from tests.gateway.refusal import refusal_in
from tests.house import MODEL, OUR_KEY, House, open_house
from tests.one_house import charged_as_billed, everything, set_up, with_scopes

pytestmark = pytest.mark.anyio


async def test_without_redis_nothing_is_forwarded(tmp_path, sqlite_records_url):
    """503 ledger_unavailable, to be tried again; when Redis is back, so is the service."""
    engine = engines.start_valkey(tmp_path, "--appendonly", "no")
    try:
        async with open_house(redis_url=engine.url, records_url=sqlite_records_url) as house:
            acme = await house.business()
            await house.chat(acme)
            engine.pause()
            refused = await house.chat(acme)
            engine.resume()
            served = await house.chat(acme)

            assert refusal_in(refused) == (503, "server_error", "ledger_unavailable", "true", "1")
            assert served.status_code == 200
            assert len(house.openai.requests) == 2
            await charged_as_billed(acme)
    finally:
        engine.resume()
        engine.stop()


async def test_without_sql_a_key_nobody_remembers_is_not_let_in(house: House, monkeypatch):
    """503 records_unavailable; one that is remembered goes on."""
    acme = await house.business()
    await house.chat(acme)
    other = await with_scopes(acme)

    async def away(digests: list[bytes]) -> None:
        raise RecordsUnavailable("SQL does not answer")

    monkeypatch.setattr(house.parts.loops.authenticate, "_find", away)
    refused = await house.chat(other)
    served = await house.chat(acme)

    assert refusal_in(refused) == (503, "server_error", "records_unavailable", "true", "1")
    assert served.status_code == 200


async def test_more_than_may_wait_for_sql_is_not_taken_on(house: House, monkeypatch):
    """503 overloaded: what was billed and is not stored must stay bounded."""
    acme = await house.business()
    monkeypatch.setattr(house.parts.loops.backlog, "_most_bytes", 0)

    reply = await house.chat(acme)

    assert refusal_in(reply) == (503, "server_error", "overloaded", "true", "5")
    assert house.openai.requests == []


# OpenAI


@set_up(openai__base_url="http://127.0.0.1:9/v1")
async def test_an_openai_that_cannot_be_reached_costs_nothing(house: House):
    """502, to be tried again: nothing was sent, and the hold is given back."""
    acme = await house.business()

    reply = await house.chat(acme)

    assert refusal_in(reply) == (502, "server_error", "upstream_error", "true", None)
    (row,) = await charged_as_billed(acme)
    assert (row.http_status, row.success, row.outcome) == (502, False, "released")
    assert reply.headers["x-transaction-id"] == row.id


@set_up(openai__first_byte_timeout_s="0.2")
async def test_an_openai_that_does_not_answer_in_time_is_not_asked_again(house: House):
    """504 and x-should-retry false: it may have been billed; that is our loss, not theirs."""
    acme = await house.business()
    house.openai.hangs(billed=False)

    reply = await house.chat(acme)

    assert refusal_in(reply) == (504, "server_error", "upstream_error", "false", None)
    (row,) = await charged_as_billed(acme)
    assert (row.estimated, row.credits_used) == (True, Credits(0))
    assert row.cost_to_us.pico > 0


async def test_an_openai_that_hangs_up_is_not_asked_again(house: House):
    """502: it had the call."""
    acme = await house.business()
    house.openai.closes(billed=False)

    reply = await house.chat(acme)

    assert refusal_in(reply) == (502, "server_error", "upstream_error", "false", None)
    await charged_as_billed(acme)


# What every reply says


async def test_a_reply_says_what_it_cost_and_what_is_left(house: House):
    """The figures are those of the row and of the ledger."""
    acme = await house.business()

    reply = await house.chat(acme)

    (row,) = await acme.transactions()
    assert reply.headers["x-transaction-id"] == row.id
    assert reply.headers["x-request-id"] == row.upstream_request_id
    assert reply.headers["x-credits-used"] == str(row.credits_used)
    assert reply.headers["x-credits-held"] == str(row.credits_held)
    assert reply.headers["x-credits-remaining"] == str(await acme.available())
    assert int(reply.headers["x-gateway-overhead-ms"]) >= 0
    assert "x-credits-max-output-tokens" not in reply.headers


async def test_a_reply_is_passed_on_byte_for_byte(house: House):
    """Spaces, order and odd numbers included."""
    acme = await house.business()
    usage = '{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}'
    body = f'{{ "id":"x",\n\t"n":1.0,"z":null, "model":"{MODEL}","choices":[],"usage":{usage}}}\n'
    house.openai.changes(body=body.encode())

    reply = await house.chat(acme)

    assert reply.content == body.encode()
    (row,) = await acme.transactions()
    assert dict(row.usage) == {"input": 3, "output": 4}


async def test_what_describes_our_account_is_not_passed_on(house: House):
    """Rate limits, organisation and cookies are shared by all businesses."""
    acme = await house.business()

    reply = await house.chat(acme)

    shown = set(reply.headers)
    assert not {name for name in shown if name.startswith(("x-ratelimit", "cf-", "set-cookie"))}
    assert not shown & {"openai-organization", "openai-project", "server", "via", "alt-svc"}


async def test_the_log_has_one_line_a_call_and_nothing_of_its_text(house: House, access_log):
    """Ids and numbers; never a key, a prompt or a reply."""
    acme = await house.business()
    house.openai.says("the spoken secret")

    served = await house.chat(acme, messages=[{"role": "user", "content": "the asked secret"}])
    await house.chat(acme, model="gpt-99")
    await house.quiet()

    printed = access_log()
    first, second = [json.loads(line) for line in printed.splitlines()]
    assert (first["event"], first["status"], first["business"]) == ("call_finished", 200, acme.id)
    assert first["id"] == served.headers["x-transaction-id"]
    assert (second["status"], second["code"]) == (400, "model_not_priced")
    for text in ("secret", acme.key, OUR_KEY, "Bearer"):
        assert text not in printed


async def test_a_caller_that_leaves_while_it_still_sends_is_not_served(house: House):
    """The body never came whole: nothing held, nothing forwarded, nothing to tell."""
    acme = await house.business()
    before = await everything(house)

    async def endless() -> AsyncIterator[bytes]:
        yield b'{"model":'
        raise httpx2.ReadError("the caller leaves")

    with pytest.raises(httpx2.ReadError):
        await house.client.post("/v1/chat/completions", content=endless(), headers=acme.headers)

    assert await everything(house) == before
    assert house.openai.requests == []
