"""What a call leaves in `/metrics`: how it ended, what it used, what became of its hold."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from metering.money import Credits
from storage.errors import LedgerUnavailable
from tests.gateway.scraped import scraped
from tests.house import MODEL, House
from tests.one_house import set_up

pytestmark = pytest.mark.anyio

CHAT = "chat.completions"


async def test_a_call_is_counted_once_with_how_it_was_answered(house: House):
    """By endpoint, model and whether it streams."""
    acme = await house.business()

    for _ in range(3):
        await house.chat(acme)
    await house.chat(acme, stream=True)

    seen = await scraped(house)
    assert seen.of("calls_total", endpoint=CHAT, model=MODEL, stream="false", status="2xx") == 3
    assert seen.of("calls_total", endpoint=CHAT, model=MODEL, stream="true", status="2xx") == 1
    assert seen.by("calls_total", "status") == {"2xx": 4}


async def test_a_refused_call_is_counted_with_its_code(house: House):
    """What was not understood has no model; what the ledger refused has one."""
    acme, poor = await house.business(), await house.business("0.00")

    await house.chat(acme, model="gpt-99")
    await house.chat(poor)
    await house.client.post("/v1/chat/completions", json={})
    await house.client.get("/v1/files", headers=acme.headers)

    seen = await scraped(house)
    assert seen.by("calls_total", "status") == {"4xx": 3}
    assert seen.by("calls_total", "model") == {"other": 2, MODEL: 1}
    assert seen.by("refusals_total", "code") == {
        "model_not_priced": 1,
        "insufficient_credits": 1,
        "invalid_api_key": 1,
        "endpoint_not_supported": 1,
    }


async def test_an_answer_that_is_given_again_is_replayed(house: House):
    """Nothing was asked of OpenAI or held for it, nor for a key that is used otherwise."""
    acme = await house.business()
    named = acme.headers | {"Idempotency-Key": "order-1"}
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}]}

    for _ in range(3):
        await house.client.post("/v1/chat/completions", json=body, headers=named)
    await house.client.post("/v1/chat/completions", json=body | {"n": 2}, headers=named)

    seen = await scraped(house)
    assert seen.by("calls_total", "status") == {"2xx": 1, "replayed": 2, "4xx": 1}
    assert seen.by("holds_total", "result") == {"granted": 1}


async def test_a_reply_that_breaks_off_is_cut(house: House):
    """Its status was 200 and its caller was told in the stream."""
    acme = await house.business()
    house.openai.breaks_after(1)

    with pytest.raises(httpx2.RemoteProtocolError):
        await house.chat(acme, stream=True)
    await house.quiet()

    seen = await scraped(house)
    assert seen.by("calls_total", "status") == {"cut": 1}
    assert seen.by("refusals_total", "code") == {"upstream_error": 1}
    assert seen.by("upstream_errors_total", "kind") == {"broken": 1}


@set_up(openai__drains_max="0")
async def test_a_caller_that_left_before_the_end_is_no_answer(house: House):
    """It was told nothing."""
    acme = await house.business()
    house.openai.holds_replies(asyncio.Event())

    call = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)
    call.cancel()
    await asyncio.wait([call])
    await acme.transactions()

    assert (await scraped(house)).by("calls_total", "status") == {"left": 1}


async def test_what_was_used_charged_and_paid_are_those_of_the_rows(house: House):
    """Units, credits and dollars, in their own units."""
    acme = await house.business()
    house.openai.changes(cached_tokens=2)

    await house.chat(acme, messages=[{"role": "user", "content": "a few more words"}])
    await house.chat(acme, stream=True)

    rows = await acme.transactions()
    seen = await scraped(house)
    used = sum((row.credits_used for row in rows), Credits(0))
    assert used > Credits(0)
    assert seen.of("used_credits_total", model=MODEL) == pytest.approx(used.micro / 10**6)
    cost_pico = sum(row.cost_to_us.pico for row in rows)
    assert seen.of("cost_dollars_total", model=MODEL) == pytest.approx(cost_pico / 10**12)
    for unit in ("input", "cached_input", "output"):
        count = sum(row.usage[unit] for row in rows)
        assert count
        assert seen.of("usage_units_total", model=MODEL, unit=unit) == count


async def test_a_settle_that_was_asked_for_twice_is_counted_once(house: House, monkeypatch):
    """The first answer was lost; the charge is the same one."""
    acme = await house.business()
    balances = type(house.parts.ledger.balances)
    ask, asked = balances.settle, []

    async def lost(self, **given: Any) -> object:
        settled = await ask(self, **given)
        asked.append(given["id"])
        if len(asked) == 1:
            raise LedgerUnavailable("the answer was lost", reason="in_doubt")
        return settled

    monkeypatch.setattr("gateway.background.settler.ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(balances, "settle", lost)
    await house.chat(acme)

    (row,) = await acme.transactions()
    seen = await scraped(house)
    assert len(asked) == 2
    assert seen.of("used_credits_total", model=MODEL) == row.credits_used.micro / 10**6


async def test_a_hold_is_granted_fitted_or_refused(house: House):
    """As the ledger answered it."""
    acme, poor = await house.business("50.00"), await house.business("0.00")
    some = await house.business("0.20")

    await house.chat(acme)
    await house.chat(poor)
    fitted = await house.chat(some)

    assert "x-credits-max-output-tokens" in fitted.headers
    seen = await scraped(house)
    assert seen.by("holds_total", "result") == {"granted": 1, "fitted": 1, "refused": 1}


async def test_a_hold_that_nobody_can_answer_for_is_unavailable(house: House, monkeypatch):
    """503, and not a refusal."""
    acme = await house.business()

    async def away(**_: object) -> None:
        raise LedgerUnavailable("Redis was not asked", reason="unreachable")

    monkeypatch.setattr(house.parts.ledger.balances, "hold", away)
    await house.chat(acme)

    seen = await scraped(house)
    assert seen.by("holds_total", "result") == {"unavailable": 1}
    assert seen.by("calls_total", "status") == {"5xx": 1}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, None, "rejected"),
        (401, None, "key_refused"),
        (429, "rate_limit_exceeded", "rate_limited"),
        (429, "insufficient_quota", "account_empty"),
        (500, None, "server_error"),
    ],
)
async def test_an_error_of_openai_is_counted_by_its_kind(house: House, status, code, kind):
    """What is about the call, about us, and about OpenAI are different alerts."""
    acme = await house.business()
    house.openai.changes(status=status, code=code)

    await house.chat(acme)

    assert (await scraped(house)).by("upstream_errors_total", "kind") == {kind: 1}


@set_up(openai__base_url="http://127.0.0.1:9/v1")
async def test_an_openai_that_is_not_reached_is_counted(house: House):
    """Nothing was sent."""
    await house.chat(await house.business())

    assert (await scraped(house)).by("upstream_errors_total", "kind") == {"unreachable": 1}


@set_up(openai__first_byte_timeout_s="0.2")
async def test_an_openai_that_is_too_slow_is_counted(house: House):
    """It was sent."""
    acme = await house.business()
    house.openai.hangs(billed=False)

    await house.chat(acme)

    assert (await scraped(house)).by("upstream_errors_total", "kind") == {"timeout": 1}


async def test_a_call_is_timed_when_it_was_forwarded(house: House):
    """What it was refused in tells nothing of what OpenAI or we take."""
    acme = await house.business()

    await house.chat(acme)
    await house.chat(acme, stream=True)
    await house.chat(acme, model="gpt-99")

    seen = await scraped(house)
    for name in ("added_seconds", "first_byte_seconds", "call_seconds"):
        assert seen.by(f"{name}_count", "stream") == {"false": 1, "true": 1}
        assert seen.of(f"{name}_bucket", endpoint=CHAT, stream="true", le="+Inf") == 1
