"""Idempotency-Key: what is not remembered, what is not kept, and for how long the rest is."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from metering.money import Credits
from storage import redis_keys
from storage.errors import LedgerUnavailable
from storage.replays import KEPT_MS
from storage.tables import metadata
from tests.gateway.refusal import refusal_in
from tests.gateway.repeated import IN_FLIGHT, NOT_KEPT, asks, same
from tests.house import House
from tests.one_house import charged_as_billed, set_up

pytestmark = pytest.mark.anyio


# What is not remembered


async def test_a_refusal_is_not_remembered(house: House):
    """Without credits nothing was made; with them the same key makes it."""
    acme = await house.business("0.001")
    refused = await asks(acme)
    await house.top_up(acme, "50")

    served = await asks(acme)

    assert refusal_in(refused)[2] == "insufficient_credits"
    assert served.status_code == 200
    assert "idempotency-replayed" not in served.headers
    await charged_as_billed(acme)


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_an_error_of_openais_is_not_remembered(house: House, status: int):
    """It cost nothing; the same key may try again at once, with another body too."""
    acme = await house.business()
    house.openai.fails(status, times=1)

    failed = await asks(acme)
    served = await asks(acme, temperature=1)

    assert failed.status_code == status
    assert served.status_code == 200
    assert len(house.openai.requests) == 2
    assert len(await charged_as_billed(acme)) == 2


async def test_an_openai_that_hangs_up_may_be_asked_again(house: House):
    """502, charged nothing."""
    acme = await house.business()
    house.openai.closes(billed=False)
    failed = await asks(acme)
    house.openai.resets()

    served = await asks(acme)

    assert (failed.status_code, served.status_code) == (502, 200)
    await charged_as_billed(acme)


async def test_what_is_let_go_of_leaves_nothing_behind(house: House):
    """No key and no byte counted; a caller who fails for ever uses nothing up."""
    acme = await house.business()
    house.openai.fails(500, times=3)
    for n in range(3):
        await asks(acme, key=f"k{n}")
    await house.quiet()
    redis, p = house.parts.stores.redis, redis_keys.partition_of(acme.id)

    assert [key async for key in redis.scan_iter("*:replay:*")] == []
    assert await redis.get(redis_keys.kept_of(p, acme.id)) == "0"
    assert await redis.get(redis_keys.kept(p)) == "0"


# What cannot be kept


@set_up(idempotency__reply_max_bytes="300")
@pytest.mark.parametrize("stream", [True, False])
async def test_a_reply_that_is_too_long_is_not_charged_twice(house: House, stream: bool):
    """The caller is told which call it was and what it cost; a new key makes it again."""
    acme = await house.business()
    first = await asks(acme, stream=stream)
    await house.quiet()

    again = await asks(acme, stream=stream)
    await house.quiet()
    later = await asks(acme, stream=stream)

    assert refusal_in(again) == refusal_in(later) == NOT_KEPT
    (row,) = await charged_as_billed(acme)
    assert again.json()["error"]["metadata"] == {
        "transaction_id": first.headers["x-transaction-id"],
        "credits_used": str(row.credits_used),
    }
    assert (await asks(acme, key="order-18", stream=stream)).status_code == 200


async def test_a_charge_is_found_when_redis_has_forgotten_the_answer(house: House):
    """After ten minutes only SQL knows what the call was charged."""
    acme = await house.business()
    replays = house.parts.doors._proxy._replays
    replays._reply_max_bytes = 0
    await asks(acme)
    await house.quiet()
    redis: Any = house.parts.stores.redis
    async for key in redis.scan_iter("*:answer:*"):
        await redis.delete(key)
    await grow_old(redis)

    assert refusal_in(await asks(acme)) == NOT_KEPT
    await charged_as_billed(acme)


@set_up(idempotency__business_max_bytes="2000")
async def test_a_budget_bounds_what_a_business_keeps(house: House):
    """Past it replies are not kept, then keys are refused; calls without one are served."""
    acme, other = await house.business(), await house.business(name="Other")

    replies = [await asks(acme, key=f"k{n}") for n in range(8)]
    await house.quiet()
    again = [await asks(acme, key=f"k{n}") for n in range(8)]

    codes = [reply.status_code for reply in replies]
    assert codes == sorted(codes)
    assert set(codes) == {200, 429}
    exhausted = (429, "rate_limit_error", "idempotency_keys_exhausted", "false", None)
    assert refusal_in(replies[-1]) == exhausted
    assert same(again[0], replies[0])
    assert NOT_KEPT in {refusal_in(reply) for reply in again if reply.status_code == 409}
    assert (await house.chat(acme)).status_code == 200
    assert (await asks(other)).status_code == 200
    assert len(house.openai.requests) == codes.count(200) + 2


async def test_a_stream_that_broke_is_told_and_not_charged_twice(house: House):
    """What was received was charged; its retry is a new call only under a new key."""
    acme = await house.business()
    house.openai.streams("Once", " upon", " a time")
    house.openai.breaks_after(2)
    with pytest.raises(httpx2.RemoteProtocolError):
        await asks(acme, stream=True)
    house.openai.resets()
    await house.quiet()

    again = await asks(acme, stream=True)

    assert refusal_in(again) == NOT_KEPT
    (row,) = await acme.transactions()
    assert again.json()["error"]["metadata"]["credits_used"] == str(row.credits_used)
    assert row.credits_used > Credits(0)


# How long


async def test_keys_and_replies_are_kept_for_a_day(house: House):
    """Everything that is written for a key has an end."""
    acme = await house.business()
    await asks(acme)
    redis = house.parts.stores.redis

    names = [key async for key in redis.scan_iter() if ":replay:" in key or ":kept" in key]

    assert len(names) == 3
    for name in names:
        assert KEPT_MS - 60_000 < await redis.pttl(name) <= KEPT_MS


async def test_no_text_of_a_reply_is_in_sql(house: House):
    """Analysts read the tables; a reply is its customer's."""
    acme = await house.business()
    house.openai.says("canary-4711")
    reply = await asks(acme, stream=True)
    await house.quiet()

    assert b"canary-4711" in reply.content
    async with house.database.read() as connection:
        for table in metadata.sorted_tables:
            rows = (await connection.execute(table.select())).all()
            assert "canary-4711" not in repr(rows)
            assert "order-17" not in repr(rows)


async def test_calls_without_a_key_ask_redis_nothing_more(house: House):
    """Hold and settle, as before; no key of a replay, no look into SQL."""
    acme = await house.business()
    await house.chat(acme)
    await house.quiet()
    redis: Any = house.parts.stores.redis
    await redis.config_resetstat()

    await house.chat(acme)
    await house.quiet()

    assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] == 2
    assert not [key async for key in redis.scan_iter("*:replay:*")]


# Gone wrong


async def test_a_key_whose_call_died_before_its_hold_is_free_after_a_moment(
    house: House, monkeypatch
):
    """Nobody knows of it but its gateway: in flight for ten seconds, then it may be made."""
    acme = await house.business()
    holding = house.parts.doors._proxy._holding
    monkeypatch.setattr(holding, "hold", died)
    await asks(acme)
    monkeypatch.undo()
    too_early = await asks(acme)
    redis: Any = house.parts.stores.redis
    await grow_old(redis)

    served = await asks(acme)

    assert refusal_in(too_early) == IN_FLIGHT
    assert served.status_code == 200
    assert same(await asks(acme), served)
    await charged_as_billed(acme)


async def grow_old(redis: Any) -> None:
    """Let the one key of this test have been claimed eleven seconds ago."""
    (name,) = [key async for key in redis.scan_iter("*:replay:*")]
    await redis.hincrby(name, "claimed_ms", -11_000)


async def died(*_: object) -> None:
    raise asyncio.CancelledError


async def test_a_hold_that_comes_too_late_is_given_back(house: House, monkeypatch):
    """Somebody else may have taken the key meanwhile; nothing is forwarded."""
    acme = await house.business()
    monkeypatch.setattr("gateway.replays.CLAIM_LASTS_S", -1.0)

    late = await asks(acme)
    monkeypatch.undo()

    assert refusal_in(late) == IN_FLIGHT
    assert house.openai.requests == []
    assert (await asks(acme)).status_code == 200
    assert await acme.held() == Credits(0)


async def test_without_redis_a_call_with_a_key_is_not_made(house: House, monkeypatch):
    """503: whether it was made before is not known."""
    acme = await house.business()
    store = house.parts.doors._proxy._replays._store

    async def away(*_: object, **__: object) -> None:
        raise LedgerUnavailable("Redis did not answer")

    monkeypatch.setattr(store._scripts, "call", away)

    assert refusal_in(await asks(acme))[2] == "ledger_unavailable"
    assert house.openai.requests == []


async def test_a_reply_that_cannot_be_kept_is_passed_on_all_the_same(house: House, monkeypatch):
    """After the forward the call is served; only its repetition is refused."""
    acme = await house.business()
    store = house.parts.doors._proxy._replays._store

    async def away(**_: object) -> bool:
        raise LedgerUnavailable("Redis did not answer")

    monkeypatch.setattr(store, "keep", away)
    first = await asks(acme)
    await house.quiet()

    assert first.status_code == 200
    assert refusal_in(await asks(acme)) == NOT_KEPT
    await charged_as_billed(acme)
