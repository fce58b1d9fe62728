"""The spending cap of a key at the door: exact, also for a key that was used before it had one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import text

from gateway.settlement import Settlement
from metering.money import Credits
from storage import redis_keys
from storage.ids import new_id
from tests.gateway.refusal import refusal_in
from tests.house import Acme, House
from tests.one_house import charged_as_billed, with_limits

pytestmark = pytest.mark.anyio


async def test_the_last_of_a_cap_is_given_to_a_fitted_call(house: House) -> None:
    """Then the key is told that its cap is reached, with the figures; the balance is no matter."""
    acme = await with_limits(await house.business(), credit_cap="0.05")
    house.openai.worst_case()

    fitted = await house.chat(acme, max_completion_tokens=100_000)
    await house.quiet()
    refused = await house.chat(acme)

    assert fitted.status_code == 200
    assert int(fitted.headers["x-credits-max-output-tokens"]) < 1_000
    told = (402, "insufficient_quota", "key_credit_cap_reached", "false", None)
    assert refusal_in(refused) == told
    error = refused.json()["error"]
    (row,) = await acme.transactions()
    assert error["metadata"] == {
        "credit_cap": "0.05",
        "spent": str(row.credits_used),
        "held": "0.00",
        "required": error["metadata"]["required"],
        "affordable_output_tokens": error["metadata"]["affordable_output_tokens"],
    }
    assert "top up" not in error["message"]
    assert "its cap is 0.05" in error["message"]
    assert "use another key or ask for one with a higher cap" in error["message"]
    await charged_as_billed(acme)


async def test_a_cap_that_running_calls_hold_may_come_free(house: House) -> None:
    """429 with Retry-After, as for a balance that is held; no case for the owner."""
    acme = await with_limits(await house.business(), credit_cap="1.40")
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    running = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)

    reply = await house.chat(acme, headers={"X-Credits-Fit": "never"})
    openai_may_answer.set()
    await running
    await house.quiet()

    assert refusal_in(reply) == (429, "rate_limit_error", "key_credit_cap_held", "true", "2")
    assert (await house.chat(acme, headers={"X-Credits-Fit": "never"})).status_code == 200


async def set_cap(acme: Acme, microcredits: int) -> None:
    """An operator caps every key of the business, which processes notice within seconds."""
    async with acme.house.database.write() as connection:
        capped = text("UPDATE api_keys SET credit_cap_microcredits = :cap")
        await connection.execute(capped, {"cap": microcredits})
    acme.house.parts.loops.authenticate._known.clear()


async def test_a_cap_counts_what_the_key_had_spent_before(house: House) -> None:
    """Rows that are still on their way to SQL included, and calls that still run."""
    acme = await house.business()
    recorder = house.parts.loops.recorder
    may_record = asyncio.Event()
    record_once = recorder.record_once

    async def when_allowed(partitions: Sequence[int] | None = None) -> int:
        await may_record.wait()
        return await record_once(partitions)

    for _ in range(3):
        await house.chat(acme)
    await house.quiet()
    recorder.record_once = when_allowed  # type: ignore[method-assign]
    await house.chat(acme)
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    running = asyncio.create_task(house.chat(acme))
    await house.openai.received(5)
    await set_cap(acme, 10_000)

    refusing = asyncio.create_task(house.chat(acme))
    while not [key for key in await house.keys_in_redis() if ":limits:" in key]:
        await asyncio.sleep(0.001)
    recorder.wake()
    may_record.set()
    held = await refusing
    openai_may_answer.set()
    await running
    rows = await acme.transactions()
    await set_cap(acme, sum(row.credits_used.micro for row in rows))
    spent_all = await house.chat(acme)

    assert held.json()["error"]["code"] == "key_credit_cap_reached"
    assert held.json()["error"]["metadata"]["held"] != "0.00"
    assert spent_all.json()["error"]["code"] == "key_credit_cap_reached"
    assert len(rows) == 5
    spent = sum(row.credits_used.micro for row in rows)
    assert spent_all.json()["error"]["metadata"]["spent"] == f"{spent / 1_000_000:.6f}".rstrip("0")


async def test_a_cap_is_not_guessed_while_sql_is_behind(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 for that key, until it is known what it has spent; nothing is forwarded."""
    acme = await house.business()
    await house.chat(acme)
    await house.quiet()
    monkeypatch.setattr("storage.spending.RECORDED_WITHIN_S", 0.04)

    async def nothing(partitions: Sequence[int] | None = None) -> int:
        return 0

    record_once = house.parts.loops.recorder.record_once
    house.parts.loops.recorder.record_once = nothing  # type: ignore[method-assign]
    await house.chat(acme)
    while house.parts.loops.settler.unanswered:
        await asyncio.sleep(0.001)
    await set_cap(acme, 10_000_000)

    refused = await house.chat(acme)
    house.parts.loops.recorder.record_once = record_once  # type: ignore[method-assign]
    await house.quiet()

    assert refusal_in(refused) == (503, "server_error", "records_unavailable", "true", "1")
    assert len(house.openai.requests) == 2
    assert (await house.chat(acme)).status_code == 200


async def test_what_is_counted_is_counted_anew_when_redis_forgets_it(house: House) -> None:
    """From SQL, and to the same sum."""
    acme = await with_limits(await house.business(), credit_cap="5.00")
    await house.chat(acme)
    await house.quiet()
    (name,) = [key for key in await house.keys_in_redis() if ":limits:" in key]
    await house.parts.stores.redis.delete(name)

    await house.chat(acme)
    await house.quiet()

    counted = await house.parts.stores.redis.hgetall(name)
    used = sum(row.credits_used.micro for row in await acme.transactions())
    assert int(counted["before"]) + int(counted["spent"]) == used
    assert name.startswith(redis_keys.limits(redis_keys.partition_of(acme.id), ""))


async def test_a_call_that_is_settled_without_its_hold_counts_towards_the_cap(
    house: House,
) -> None:
    """Its hold was lost or swept; what it cost is spent by the key all the same."""
    acme = await with_limits(await house.business(), credit_cap="5.00")
    await house.chat(acme)
    (row,) = await acme.transactions()
    late = Settlement(
        business=acme.id,
        id=new_id(),
        amount=Credits.parse("4.00"),
        outcome="settled",
        granted=Credits.parse("4.00"),
        row={"key_id": row.key_id, "endpoint": "chat.completions", "model": row.model},
    )

    house.parts.loops.settler.settle(late)
    await house.quiet()
    refused = await house.chat(acme, headers={"X-Credits-Fit": "never"})

    assert refused.json()["error"]["code"] == "key_credit_cap_reached"
    spent = row.credits_used + Credits.parse("4.00")
    assert refused.json()["error"]["metadata"]["spent"] == str(spent)
