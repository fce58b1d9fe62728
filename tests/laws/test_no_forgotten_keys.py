"""Whatever became of the calls, Redis keeps what is to live for ever and nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.dev.stub_gates import Turnstile
from storage import redis_keys
from tests.house import Acme, House
from tests.laws.caller import WAYS, Caller
from tests.laws.laws import check_laws
from tests.laws.lifetimes import nothing_is_left
from tests.one_house import with_limits

pytestmark = pytest.mark.anyio


async def answered(house: House, acme: Acme) -> None:
    """JSON, a stream, a fixed price."""
    await house.chat(acme)
    await house.chat(acme, stream=True)
    await house.chat(acme, headers={"X-Feature": "idea"})


async def counted(house: House, acme: Acme) -> None:
    """OpenAI reports no usage, or breaks off in the middle."""
    house.openai.without_usage()
    await house.chat(acme)
    await house.chat(acme, stream=True)
    house.openai.streams("Once", " upon", " a time")
    house.openai.breaks_after(2)
    caller = await Caller.connects(house.url)
    await caller.asks(acme.key, stream=True)
    await caller.sees(b'"code":"upstream_error"')
    caller.leaves()
    house.openai.resets()


async def failed(house: House, acme: Acme) -> None:
    """OpenAI refuses the call, our key, or everything; or it hangs up."""
    for status in (400, 401, 429, 500, 503):
        house.openai.fails(status, times=1)
        await house.chat(acme)
    house.openai.closes(billed=False)
    await house.chat(acme)
    house.openai.resets()


async def refused(house: House, acme: Acme) -> None:
    """Nothing is forwarded: no credits, no price, no such key, no good body."""
    poor = await house.business("0.001", name="Poor", features=("idea",))
    nobody = Acme(house, acme.id, "gw-" + "0" * 43, acme.topped_up)
    await house.chat(poor)
    await house.chat(poor, headers={"X-Feature": "idea"})
    await house.chat(acme, model="no-such-model")
    await house.chat(acme, n=0)
    await house.chat(nobody)


async def limited(house: House, acme: Acme) -> None:
    """Let in and refused: by rates, by a cap, and both."""
    rates = await with_limits(acme, requests_per_minute=1, concurrent=1)
    capped = await with_limits(acme, credit_cap="0.0001")
    both = await with_limits(acme, credit_cap="5.00", tokens_per_minute=50_000)
    for narrow in (rates, rates, capped, both):
        await house.chat(narrow)


async def left(house: House, acme: Acme) -> None:
    """The callers go while OpenAI works."""
    openai_works = Turnstile()
    house.openai.waits_between_chunks(openai_works)
    for way in WAYS:
        caller = await Caller.connects(house.url)
        await caller.asks(acme.key, stream=True)
        await caller.sees(b'"role":"assistant"')
        caller.leaves(way)
    openai_works.opens()
    house.openai.resets()


async def repeated(house: House, acme: Acme) -> None:
    """Calls with an Idempotency-Key: answered, refused, failed, left; and asked again."""
    some: tuple[dict[str, Any], ...] = ({}, {"stream": True}, {"n": 0}, {"model": "no-such"})
    for n, fields in enumerate(some):
        for _ in range(2):
            await house.chat(acme, headers={"Idempotency-Key": f"k{n}"}, **fields)
    house.openai.fails(500, times=1)
    for _ in range(2):
        await house.chat(acme, headers={"Idempotency-Key": "failed"})


async def test_after_every_kind_of_call_only_what_may_live_is_in_redis(house: House) -> None:
    """Accounts and partitions for ever, the rest with an end; no hold, deadline or entry."""
    acme = await house.business(features=("idea",))

    for some in (answered, counted, failed, refused, limited, repeated, left):
        await some(house, acme)
    rows = await acme.transactions()

    outcomes = Counter((row.outcome, row.usage_source) for row in rows)
    assert outcomes == {
        ("settled", "reported"): 11,
        ("settled", "counted"): 3,
        ("released", "none"): 7,
    }
    await check_laws(house)
    await nothing_is_left(house.parts.stores.redis)


async def test_an_answer_has_no_end_before_its_call_is_recorded(one_house: House) -> None:
    """A settle that is asked again must find it; only what SQL has may be forgotten."""
    house = one_house
    acme = await house.business()
    may_record = asyncio.Event()
    recorded_once = house.parts.loops.recorder.record_once

    async def when_allowed(partitions: Sequence[int] | None = None) -> int:
        await may_record.wait()
        return await recorded_once(partitions)

    house.parts.loops.recorder.record_once = when_allowed  # type: ignore[method-assign]
    await house.chat(acme)
    redis, partition = house.parts.stores.redis, redis_keys.partition_of(acme.id)
    while not await redis.xlen(redis_keys.outbox(partition)):
        await asyncio.sleep(0.001)
    (answer,) = [key async for key in redis.scan_iter("*:answer:*")]
    lasting = await redis.ttl(answer)
    await check_laws(house)  # Also while SQL lacks what Redis has decided.
    may_record.set()
    await house.quiet()

    assert lasting == -1
    assert 0 < await redis.ttl(answer) <= 600
    await nothing_is_left(redis)
