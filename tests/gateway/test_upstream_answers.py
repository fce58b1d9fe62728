"""OpenAI's refusals: about the call they are the caller's; about us they are not."""

from __future__ import annotations

import json
import logging

import pytest

from gateway.errors import (
    UpstreamAccountEmpty,
    UpstreamMisbehaved,
    UpstreamRefusedOurKey,
)
from gateway.upstream_answers import our_fault, without_ours
from metering.money import Credits
from tests.gateway.refusal import refusal_in
from tests.house import OUR_KEY, House
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio

ORGANISATION = "org-AbCdEf0123456789"


def said(message: str, code: str | None = None, kind: str = "invalid_request_error") -> bytes:
    """An error as OpenAI writes it."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json.dumps({"error": error}).encode()


ABOUT_THE_CALL = [400, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503, 529]


async def test_an_answer_about_the_call_passes_unchanged(house: House):
    """Status, body, retry headers; charged nothing, recorded as failed."""
    acme = await house.business()
    body = said("Try another way.", "some_code")
    headers = {"retry-after": "3", "retry-after-ms": "2500", "x-should-retry": "true"}
    replies = []

    for status in ABOUT_THE_CALL:
        house.openai.fails(status, body, headers)
        replies.append(await house.chat(acme))

    rows = await charged_as_billed(acme)
    for reply, row, status in zip(replies, rows, ABOUT_THE_CALL, strict=True):
        assert (reply.status_code, reply.content) == (status, body)
        assert {name: reply.headers[name] for name in headers} == headers
        assert reply.headers["x-credits-used"] == "0.00"
        assert reply.headers["x-transaction-id"] == row.id
        assert (row.http_status, row.success, row.outcome) == (status, False, "released")


async def test_an_answer_without_retry_headers_gets_none(house: House):
    """What OpenAI left open, the SDKs decide as they are used to."""
    acme = await house.business()
    house.openai.fails(409, said("Conflict."))

    reply = await house.chat(acme)

    assert "x-should-retry" not in reply.headers
    assert "retry-after" not in reply.headers


@pytest.mark.parametrize("status", [401, 403])
async def test_our_own_key_is_not_the_callers_fault(house: House, status, caplog):
    """502 upstream_auth_error, and the operator is told; no organisation, no key."""
    acme = await house.business()
    house.openai.fails(status, said(f"Key {OUR_KEY} of {ORGANISATION} is no good.", "bad_key"))

    reply = await house.chat(acme)

    assert refusal_in(reply) == (502, "server_error", "upstream_auth_error", "false", None)
    assert ORGANISATION not in reply.text
    assert OUR_KEY not in reply.text + caplog.text
    told = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert [record.message for record in told] == ["upstream_refuses_our_key"]
    await charged_as_billed(acme)


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
async def test_our_own_account_is_not_the_callers_fault(house: House, code, caplog):
    """503 upstream_unavailable with Retry-After: an app must not think it is out of credits."""
    acme = await house.business()
    house.openai.fails(429, said(f"{ORGANISATION} exceeded its quota", code, "insufficient_quota"))

    reply = await house.chat(acme)

    assert refusal_in(reply) == (503, "server_error", "upstream_unavailable", "true", "30")
    assert ORGANISATION not in reply.text
    assert "upstream_account_empty" in caplog.text
    await charged_as_billed(acme)


async def test_the_names_of_our_account_are_taken_out_of_what_passes(house: House):
    """OpenAI's rate-limit text names the organisation that all businesses share."""
    acme = await house.business()
    text = f"Rate limit reached for gpt-5.4 in organization {ORGANISATION} on tokens"
    house.openai.fails(429, said(text, "rate_limit_exceeded"), {"retry-after": "2"})

    reply = await house.chat(acme)

    assert reply.status_code == 429
    assert reply.json()["error"]["message"] == text.replace(ORGANISATION, "org-***")


async def test_a_redirect_is_not_followed(house: House):
    """It would carry our key to another address."""
    acme = await house.business()

    for status in (301, 302, 304, 307):
        house.openai.fails(status, b"{}", {"location": "http://127.0.0.1:9/v1"})
        reply = await house.chat(acme)

        assert refusal_in(reply) == (502, "server_error", "upstream_error", "false", None)
        assert "location" not in reply.headers
    assert len(house.openai.requests) == 4
    await charged_as_billed(acme)


async def test_an_error_inside_a_json_reply_is_not_charged_for_text(house: House):
    """200 with a body that is no completion: what was reported is what counts."""
    acme = await house.business()
    house.openai.changes(body=b"<html>a proxy's page</html>")

    reply = await house.chat(acme)

    assert reply.content == b"<html>a proxy's page</html>"
    (row,) = await acme.transactions()
    assert row.usage_source == "counted"
    assert Credits(0) <= row.credits_used <= row.credits_held


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b"", UpstreamRefusedOurKey),
        (403, b"not json", UpstreamRefusedOurKey),
        (429, said("x", "insufficient_quota"), UpstreamAccountEmpty),
        (429, said("x", None, "insufficient_quota"), UpstreamAccountEmpty),
        (403, said("x", "billing_not_active"), UpstreamAccountEmpty),
        (400, said("x", "billing_hard_limit_reached"), UpstreamAccountEmpty),
        (302, b"", UpstreamMisbehaved),
        (101, b"", UpstreamMisbehaved),
        (429, said("x", "rate_limit_exceeded"), type(None)),
        (429, b"[]", type(None)),
        (500, b'{"error": "text"}', type(None)),
        (500, b'{"error": {"code": 7, "type": 8}}', type(None)),
        (500, b"[" * 100_000, type(None)),
        (404, said("no such model", "model_not_found"), type(None)),
    ],
)
def test_whose_fault_an_answer_is(status, body, kind):
    """By status and code, whatever else the body is."""
    assert type(our_fault(status, body)) is kind


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"in org-AbC123xyz on", b"in org-*** on"),
        (b"proj_AbC123xyz9 and sk-proj-AbC_123-xyz9", b"proj_*** and sk-***"),
        (b"organisation, reorg-anise, task-force", b"organisation, reorg-anise, task-force"),
        (b"an org-chart", b"an org-chart"),
    ],
)
def test_what_names_us_is_taken_out(text, shown):
    """Organisation, project and key; ordinary words stay."""
    assert without_ours(text) == shown
