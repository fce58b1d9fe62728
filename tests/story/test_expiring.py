"""Expiring: what was left after six months is booked away, and the next purchase begins anew."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update

from metering.money import Credits
from storage import alerts, movements, redis_keys
from storage.tables import business_ai_credits, credit_movements
from tests.house import ADMIN_TOKEN, Acme, House
from tests.laws.laws import check_laws

pytestmark = pytest.mark.anyio

ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


async def six_months_go_by(acme: Acme) -> None:
    """As if its credits had been bought so long ago that they ended five minutes ago."""
    ended = datetime.now(UTC) - timedelta(minutes=5)
    async with acme.house.database.write() as connection:
        await connection.execute(
            update(business_ai_credits)
            .where(business_ai_credits.c.business_id == acme.id, business_ai_credits.c.is_active)
            .values(expires_at=ended)
        )
    account = redis_keys.account(redis_keys.partition_of(acme.id), acme.id)
    redis: Any = acme.house.parts.stores.redis
    await redis.hset(account, "expires_at_ms", str(movements.as_ms(ended)))


async def the_loop_comes_by(house: House) -> None:
    """And SQL hears of it; calls may run on meanwhile."""
    await house.parts.loops.expiry.expire_all(datetime.now(UTC))
    while await house.parts.loops.recorder.record_once():
        pass


async def rows_of(acme: Acme) -> list[tuple[bool, str]]:
    """Whether each balance row is active, and its balance; the oldest first."""
    table = business_ai_credits
    query = select(table.c.is_active, table.c.balance_microcredits).order_by(table.c.id)
    async with acme.house.database.read() as connection:
        found = await connection.execute(query.where(table.c.business_id == acme.id))
    return [(active, str(Credits(balance))) for active, balance in found]


async def alerts_of(acme: Acme) -> list[str]:
    async with acme.house.database.read() as connection:
        return [one.alert_type for one in await alerts.page(connection, acme.id, limit=10)]


async def moved(acme: Acme) -> list[tuple[str, str]]:
    """Every movement of its balance that is not a call."""
    table = credit_movements
    query = select(table.c.kind, table.c.amount_microcredits).order_by(table.c.at, table.c.id)
    async with acme.house.database.read() as connection:
        found = await connection.execute(query.where(table.c.business_id == acme.id))
    return [(kind, str(Credits(amount))) for kind, amount in found]


async def test_what_was_left_is_booked_and_new_calls_are_refused(house: House) -> None:
    """One movement, one alert, an inactive row, and 402 credits_expired."""
    acme = await house.business("50.00", features=("product_description",))
    await house.chat(acme, headers={"X-Feature": "product_description"})
    await six_months_go_by(acme)

    before = await house.chat(acme)
    await the_loop_comes_by(house)
    await the_loop_comes_by(house)
    after = await house.chat(acme)

    for reply in (before, after):
        assert (reply.status_code, reply.json()["error"]["code"]) == (402, "credits_expired")
        assert reply.headers["x-should-retry"] == "false"
    assert await rows_of(acme) == [(False, "0.00")]
    assert await moved(acme) == [("purchase", "50.00"), ("expired", "-47.50")]
    assert await alerts_of(acme) == ["expired"]
    assert len(await acme.transactions()) == 1
    credits = (await house.client.get("/v1/credits", headers=acme.headers)).json()
    assert (credits["balance"], credits["available"]) == ("0.00", "0.00")
    await check_laws(house)


async def test_the_next_purchase_opens_a_new_balance(house: House) -> None:
    """It can be used at once, lasts six months, and what had expired is not in it."""
    acme = await house.business("50.00")
    await six_months_go_by(acme)
    await the_loop_comes_by(house)

    await house.top_up(acme, "30.00")
    reply = await house.chat(acme)

    assert reply.status_code == 200
    (row,) = await acme.transactions()
    left = str(Credits.parse("30.00") - row.credits_used)
    assert await rows_of(acme) == [(False, "0.00"), (True, left)]
    expires = datetime.fromtimestamp((await acme.balance()).expires_at_ms / 1000, UTC)
    assert expires > datetime.now(UTC) + timedelta(days=180)
    await check_laws(house)


async def test_a_purchase_before_the_books_are_closed_ends_the_old_balance_first(
    house: House,
) -> None:
    """However late the loop comes by: what had expired does not come back with new credits."""
    acme = await house.business("50.00")
    await six_months_go_by(acme)

    await house.top_up(acme, "30.00", bonus="5.00")
    await house.quiet()

    assert await acme.available() == await acme.recorded() == Credits.parse("35.00")
    assert await rows_of(acme) == [(False, "0.00"), (True, "35.00")]
    assert ("expired", "-50.00") in await moved(acme)
    assert await alerts_of(acme) == ["expired"]
    await the_loop_comes_by(house)
    assert await acme.available() == Credits.parse("35.00")
    await check_laws(house)


async def test_a_call_that_runs_at_the_expiry_is_settled_normally(house: House) -> None:
    """What it holds is never expired; what it did not need expires after it."""
    acme = await house.business("50.00")
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    call = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)
    held = await acme.held()
    await six_months_go_by(acme)

    await the_loop_comes_by(house)
    between = await acme.balance()
    await check_laws(house)
    openai_may_answer.set()
    reply = await call
    (row,) = await acme.transactions()
    await the_loop_comes_by(house)

    assert (between.total, between.held) == (held, held)
    assert (reply.status_code, row.outcome) == (200, "settled")
    (bill,) = house.openai.billed
    assert row.credits_used == house.price_of(bill).credits_used
    assert await moved(acme) == [
        ("purchase", "50.00"),
        ("expired", str(held - Credits.parse("50.00"))),
        ("expired", str(row.credits_used - held)),
    ]
    assert await rows_of(acme) == [(False, "0.00")]
    assert await alerts_of(acme) == ["expired"]
    await check_laws(house)


async def test_a_call_that_outlives_its_balance_gives_back_to_the_next_one(house: House) -> None:
    """A purchase takes over what running calls hold; what returns of it is good again."""
    acme = await house.business("50.00")
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    call = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)
    held = await acme.held()
    await six_months_go_by(acme)
    await the_loop_comes_by(house)

    await house.top_up(acme, "30.00")
    openai_may_answer.set()
    await call
    (row,) = await acme.transactions()
    await the_loop_comes_by(house)

    left = Credits.parse("30.00") + held - row.credits_used
    assert await acme.available() == await acme.recorded() == left
    await check_laws(house)


async def test_an_admin_sees_an_expired_business(house: House) -> None:
    """It is listed with its day, it can be corrected, and it can be suspended."""
    acme = await house.business("50.00")
    await six_months_go_by(acme)
    await the_loop_comes_by(house)
    path = f"/admin/businesses/{acme.id}"

    seen = (await house.client.get(path, headers=ADMIN)).json()
    suspended = await house.client.post(f"{path}/suspend", headers=ADMIN)
    resumed = await house.client.post(f"{path}/resume", headers=ADMIN)
    given = await house.client.post(
        f"{path}/adjustments", json={"credits": "5", "reason": "goodwill"}, headers=ADMIN
    )

    assert (seen["balance"], seen["owed"]) == ("0.00", "0.00")
    assert datetime.fromisoformat(seen["expires_at"]) < datetime.now(UTC)
    assert [suspended.json()["applied"], resumed.json()["applied"]] == [True, True]
    assert given.json()["available"] == "5.00"
    assert (await house.chat(acme)).status_code == 200
    one_active = text("SELECT count(*) FROM business_ai_credits WHERE is_active")
    async with house.database.read() as connection:
        assert await connection.scalar(one_active) == 1
