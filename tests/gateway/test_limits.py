"""The limits of a key at the door: what is let in, what is told, what comes back."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import httpx2
import pytest

from gateway.dev.stub_gates import Turnstile
from gateway.rate_headers import duration
from tests.gateway.refusal import Refusal, refusal_in
from tests.house import House
from tests.one_house import charged_as_billed, set_up, with_limits

pytestmark = pytest.mark.anyio

LIMITED = ("rate_limit_error", "rate_limit_exceeded", "true")


def rates_in(reply: httpx2.Response) -> dict[str, str]:
    """The headers that tell the limits, by the end of their names."""
    return {
        name.removeprefix("x-ratelimit-"): value
        for name, value in reply.headers.items()
        if name.startswith("x-ratelimit-")
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_tells_what_is_left(house: House, stream: bool) -> None:
    """OpenAI's six headers, in its formats; its own stay hidden."""
    acme = await with_limits(
        await house.business(), requests_per_minute=10, tokens_per_minute=100_000
    )

    reply = await house.chat(acme, stream=stream, max_completion_tokens=900)

    assert reply.status_code == 200
    rates = rates_in(reply)
    taken = 100_000 - int(rates.pop("remaining-tokens"))
    assert 900 < taken < 1300
    assert float(rates.pop("reset-tokens").removesuffix("ms")) == pytest.approx(taken * 0.6, abs=1)
    assert rates == {
        "limit-requests": "10",
        "remaining-requests": "9",
        "reset-requests": "6s",
        "limit-tokens": "100000",
    }


async def test_a_key_without_limits_is_told_of_none(house: House) -> None:
    """Nor does Redis keep anything of it."""
    acme = await house.business()

    assert rates_in(await house.chat(acme)) == {}
    assert not [key for key in await house.keys_in_redis() if ":limits:" in key]


async def test_only_the_limits_that_are_set_are_told(house: House) -> None:
    """A cap and calls at a time have no header of OpenAI's."""
    acme = await house.business()
    some = await with_limits(acme, requests_per_minute=10)
    none = await with_limits(acme, credit_cap="5.00", concurrent=3)

    assert rates_in(await house.chat(some)).keys() == {
        "limit-requests", "remaining-requests", "reset-requests",
    }  # fmt: skip
    assert rates_in(await house.chat(none)) == {}


async def test_one_request_too_many_is_told_when_to_come_again(house: House) -> None:
    """429 with Retry-After below a minute; nothing is forwarded, and nothing is held."""
    acme = await with_limits(await house.business(), requests_per_minute=2)
    served = [await house.chat(acme) for _ in range(2)]
    await house.quiet()

    reply = await house.chat(acme)

    assert [each.status_code for each in served] == [200, 200]
    assert refusal_in(reply) == Refusal(429, *LIMITED, reply.headers["retry-after"])
    assert 1 <= int(reply.headers["retry-after"]) <= 30
    assert 29_000 < int(reply.headers["retry-after-ms"]) <= 30_000
    assert rates_in(reply)["remaining-requests"] == "0"
    error = reply.json()["error"]
    assert "2 requests a minute" in error["message"]
    assert error["metadata"]["limit"] == "requests_per_minute"
    assert len(house.openai.requests) == 2
    await charged_as_billed(acme)


@set_up(limits__requests_per_minute="1", limits__concurrent="7")
async def test_the_settings_limit_keys_that_have_no_limit_of_their_own(house: House) -> None:
    """Each by itself; what a key says of its own goes first."""
    acme = await house.business()
    other = await with_limits(acme)
    wider = await with_limits(acme, requests_per_minute=3)

    told = [(await house.chat(key)).status_code for key in (acme, other, acme, other)]

    assert told == [200, 200, 429, 429]
    assert [(await house.chat(wider)).status_code for _ in range(4)] == [200, 200, 200, 429]


async def test_tokens_that_were_not_used_come_back(house: House) -> None:
    """The second call finds all but what the first has used."""
    acme = await with_limits(await house.business(), tokens_per_minute=5_000)

    for _ in range(3):
        assert (await house.chat(acme, max_completion_tokens=4_000)).status_code == 200
        await house.quiet()

    rows = await acme.transactions()
    used = sum(row.tokens_used for row in rows)
    reply = await house.chat(acme, max_completion_tokens=1)
    assert 0 < used < 300
    assert int(rates_in(reply)["remaining-tokens"]) >= 5_000 - used - 300


async def test_tokens_of_a_call_that_runs_are_taken(house: House) -> None:
    """429 while it does; then there are enough again."""
    acme = await with_limits(await house.business(), tokens_per_minute=5_000)
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    running = asyncio.create_task(house.chat(acme, max_completion_tokens=4_000))
    await house.openai.received(1)

    refused = await house.chat(acme, max_completion_tokens=2_000)
    openai_may_answer.set()
    await running
    await house.quiet()

    assert refusal_in(refused)[:4] == (429, *LIMITED)
    assert refused.json()["error"]["metadata"]["limit"] == "tokens_per_minute"
    assert (await house.chat(acme, max_completion_tokens=2_000)).status_code == 200


async def test_a_prompt_is_counted_before_it_is_called_too_long(house: House) -> None:
    """Its bytes say 8,000 tokens; counted it has 2,000, which fit."""
    acme = await with_limits(await house.business(), tokens_per_minute=5_000)
    prompt = [{"role": "user", "content": "one two " * 1000}]

    reply = await house.chat(acme, messages=prompt, max_completion_tokens=100)
    await house.quiet()
    again = await house.chat(acme, messages=prompt, max_completion_tokens=100)

    assert (reply.status_code, again.status_code) == (200, 200)
    assert "x-credits-max-output-tokens" not in reply.headers


async def test_a_prompt_is_counted_before_it_is_told_to_wait(house: House) -> None:
    """Another call runs: by bytes too few tokens are left for it, counted there are enough."""
    acme = await with_limits(await house.business(), tokens_per_minute=10_000)
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    running = asyncio.create_task(house.chat(acme, max_completion_tokens=4_000))
    await house.openai.received(1)
    prompt = [{"role": "user", "content": "one two " * 1000}]

    counted = asyncio.create_task(house.chat(acme, messages=prompt, max_completion_tokens=100))
    await house.openai.received(2)
    refused = await house.chat(acme, messages=prompt, max_completion_tokens=6_000)
    openai_may_answer.set()

    assert [(await call).status_code for call in (running, counted)] == [200, 200]
    assert refused.status_code == 429


async def test_a_call_is_fitted_to_what_its_key_may_use_in_a_minute(house: House) -> None:
    """As it is to a short balance, and the reply says so; else it could never be let in."""
    acme = await with_limits(await house.business(), tokens_per_minute=1_000)

    reply = await house.chat(acme)

    assert reply.status_code == 200
    fitted = int(reply.headers["x-credits-max-output-tokens"])
    assert 900 < fitted < 1_000
    assert house.openai.requests[0].fields["max_completion_tokens"] == fitted


@pytest.mark.parametrize(
    ("limit", "headers"), [(300, {"X-Credits-Fit": "never"}), (100, {})], ids=["never", "small"]
)
async def test_a_call_that_can_never_fit_is_told_so(house: House, limit: int, headers) -> None:
    """400 and not 429: waiting does not help it, and an SDK would wait."""
    acme = await with_limits(await house.business(), tokens_per_minute=limit)

    reply = await house.chat(acme, headers=headers)

    assert refusal_in(reply) == (400, "invalid_request_error", "key_limit_exceeded", "false", None)
    error = reply.json()["error"]
    assert f"may use {limit} in a minute" in error["message"]
    assert error["metadata"]["tokens_per_minute"] == limit
    assert house.openai.requests == []


async def test_two_hundred_calls_at_once_get_five_places(house: House) -> None:
    """5 are forwarded, 195 are told to wait; the places come back with the replies."""
    acme = await with_limits(await house.business("500.00"), concurrent=5)
    openai_works = Turnstile()
    house.openai.holds_replies(openai_works)
    calls = [asyncio.create_task(house.chat(acme)) for _ in range(200)]
    await house.openai.received(5)
    while sum(call.done() for call in calls) < 195:
        await asyncio.sleep(0.001)

    running = [call for call in calls if not call.done()]
    refused = [call.result() for call in calls if call.done()]
    openai_works.opens()
    served = [await call for call in running]
    await house.quiet()

    assert {refusal_in(reply) for reply in refused} == {Refusal(429, *LIMITED, "1")}
    assert [reply.status_code for reply in served] == [200] * 5
    assert len(house.openai.requests) == 5
    more = await asyncio.gather(*(house.chat(acme) for _ in range(5)))
    assert Counter(reply.status_code for reply in more) == {200: 5}
    await charged_as_billed(acme)


async def test_a_place_comes_back_however_a_call_ends(house: House) -> None:
    """Refused or dropped by OpenAI, left by its caller, cut in its middle."""
    acme = await with_limits(await house.business(), concurrent=1)
    house.openai.fails(500, times=1)
    await house.chat(acme)
    await house.quiet()
    house.openai.closes(billed=False)
    await house.chat(acme)
    await house.quiet()
    house.openai.resets()
    await house.chat_left_after(acme, 1)
    await house.quiet()

    assert (await house.chat(acme)).status_code == 200


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0s"), (1, "1ms"), (20, "20ms"), (999, "999ms"), (1000, "1s"), (1500, "1.5s"),
        (8640, "8.64s"), (59_999, "59.999s"), (60_000, "1m0s"), (90_250, "1m30.25s"),
        (360_000, "6m0s"),
    ],
)  # fmt: skip
def test_durations_are_written_as_openai_writes_them(ms: int, text: str) -> None:
    """`20ms`, `1s`, `6m0s`."""
    assert duration(ms) == text
    assert re.fullmatch(r"(\d+m)?\d+(\.\d+)?s|\d+ms", text)
