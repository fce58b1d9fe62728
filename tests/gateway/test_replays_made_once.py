"""Idempotency-Key: whoever repeats a call, it is made once, for one business and one request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from storage import redis_keys
from tests.gateway.refusal import refusal_in
from tests.gateway.repeated import IN_FLIGHT, REUSED, asks, same
from tests.house import House
from tests.laws.caller import Caller
from tests.laws.laws import check_laws
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio


async def test_a_hundred_at_once_are_one_call(house: House):
    """One is forwarded; the others are told that it runs, or get its answer."""
    acme = await house.business()
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    calls = [asyncio.create_task(asks(acme)) for _ in range(100)]
    await house.openai.received(1)
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    openai_may_answer.set()

    replies = await asyncio.gather(*calls)

    served = [reply for reply in replies if reply.status_code == 200]
    told = [reply for reply in replies if reply.status_code != 200]
    assert len(house.openai.requests) == 1
    assert len({reply.content for reply in served}) == 1
    assert sum("idempotency-replayed" not in reply.headers for reply in served) == 1
    assert {refusal_in(reply) for reply in told} <= {IN_FLIGHT}
    assert told
    await charged_as_billed(acme)
    await check_laws(house)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_reply_that_is_being_kept_is_still_under_way(house: House, monkeypatch, stream):
    """It is settled after that: else it would look like one that is lost for ever."""
    acme = await house.business()
    store = house.parts.doors._proxy._replays._store
    keeps, keeping, may_keep = store.keep, asyncio.Event(), asyncio.Event()

    async def slowly(**given: Any) -> bool:
        keeping.set()
        await may_keep.wait()
        return await keeps(**given)

    monkeypatch.setattr(store, "keep", slowly)
    first = asyncio.create_task(asks(acme, stream=stream))
    await keeping.wait()
    meanwhile = await asks(acme, stream=stream)
    may_keep.set()

    assert refusal_in(meanwhile) == IN_FLIGHT
    assert same(await asks(acme, stream=stream), await first)
    await charged_as_billed(acme)


async def test_a_hundred_keys_at_once_are_a_hundred_calls(house: House):
    """Nobody waits for another's key."""
    acme = await house.business()

    replies = await asyncio.gather(
        *(asks(acme, key=f"k{n}", max_completion_tokens=20) for n in range(100))
    )

    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.headers["x-transaction-id"] for reply in replies}) == 100
    assert len(await charged_as_billed(acme)) == 100


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 1},
        {"stream": True},
        {"headers": {"X-Feature": "chat"}},
        {"headers": {"X-User": "ama"}},
        {"headers": {"X-Credits-Fit": "never"}},
    ],
)
async def test_a_key_is_for_one_request(house: House, other: dict[str, Any]):
    """422, while the first runs and when it has ended; nothing is forwarded."""
    acme = await house.business()
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    first = asyncio.create_task(asks(acme))
    await house.openai.received(1)
    while_it_runs = await asks(acme, **other)
    openai_may_answer.set()
    await first

    afterwards = await asks(acme, **other)

    assert refusal_in(while_it_runs) == refusal_in(afterwards) == REUSED
    assert len(house.openai.requests) == 1
    await charged_as_billed(acme)


async def test_no_business_sees_anothers_answer(house: House):
    """The same key and the same body, in the same partition too: two calls, two answers."""
    acme = await house.business()
    others = [await house.business(name=f"Other {n}") for n in range(80)]
    p = redis_keys.partition_of(acme.id)
    other = next(other for other in others if redis_keys.partition_of(other.id) == p)

    mine = await asks(acme)
    theirs = await asks(other)
    again = await asks(other)

    assert "idempotency-replayed" not in theirs.headers
    assert theirs.headers["x-transaction-id"] != mine.headers["x-transaction-id"]
    assert same(again, theirs)
    assert len(house.openai.requests) == 2


@pytest.mark.parametrize("key", ["", "a" * 256, "with blank", "tab\there"])
async def test_a_key_that_could_be_read_in_two_ways_is_refused(house: House, key: str):
    """1 to 255 printable ASCII characters without blanks."""
    acme = await house.business()

    reply = await asks(acme, key=key)

    assert refusal_in(reply)[:3] == (400, "invalid_request_error", "invalid_request")
    assert reply.json()["error"]["param"] == "Idempotency-Key"
    assert house.openai.requests == []


async def test_the_longest_key_is_a_key(house: House):
    """255 characters; none of them reaches a key of Redis."""
    acme = await house.business()
    key = ("{p00}:*" * 40)[:255]
    first = await asks(acme, key=key)

    assert same(await asks(acme, key=key), first)
    names = [name async for name in house.parts.stores.redis.scan_iter("*:replay:*")]
    assert len(names) == 1
    assert "*" not in names[0]


async def test_two_keys_are_one_too_many(house: House):
    """Which of them counts nobody knows."""
    acme = await house.business()
    caller = await Caller.connects(house.url)
    caller._writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer "
        + acme.key.encode()
        + b"\r\nidempotency-key: a\r\nidempotency-key: b\r\ncontent-length: 67\r\n\r\n"
        b'{"model":"gpt-5.4-mini","messages":[{"role":"user","content":"x"}]}'
    )

    assert (await caller.answer()).code == "invalid_request"
