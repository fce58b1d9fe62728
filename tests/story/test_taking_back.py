"""Taking back: what was spent already is owed, and blocks new calls until it is paid."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from metering.money import Credits
from storage.tables import credit_movements
from tests.house import ADMIN_TOKEN, Acme, House
from tests.laws.laws import check_laws

pytestmark = pytest.mark.anyio

ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


async def take(acme: Acme, credits: str) -> None:
    """What an admin does when a payment was charged back."""
    path = f"/admin/businesses/{acme.id}/adjustments"
    body = {"credits": f"-{credits}", "reason": "the payment was charged back"}
    reply = await acme.house.client.post(path, json=body, headers=ADMIN)
    assert reply.json()["applied"] is True


async def steps(acme: Acme) -> list[tuple[str, str, str]]:
    """Every movement: its kind, what it changed of the balance, and of what is owed."""
    table = credit_movements
    await acme.house.quiet()
    async with acme.house.database.read() as connection:
        found = await connection.execute(
            select(table).where(table.c.business_id == acme.id).order_by(table.c.at, table.c.id)
        )
        return [
            (
                row.kind,
                str(Credits(row.amount_microcredits)),
                str(Credits(int(row.event.get("owed_delta", "0")))),
            )
            for row in found
        ]


async def owed(acme: Acme) -> list[str]:
    """What is owed: in Redis, in SQL, as the business sees it."""
    await acme.house.quiet()
    admin = await acme.house.client.get(f"/admin/businesses/{acme.id}", headers=ADMIN)
    own = await acme.house.client.get("/v1/credits", headers=acme.headers)
    return [str((await acme.balance()).owed), admin.json()["owed"], own.json()["owed"]]


async def test_what_is_not_there_is_owed_and_blocks_new_calls(house: House) -> None:
    """402 credits_owed, with how much; every step is a row in SQL."""
    acme = await house.business("30.00")

    await take(acme, "50")
    refused = await house.chat(acme)

    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (402, "credits_owed")
    assert refused.headers["x-should-retry"] == "false"
    assert error["metadata"]["owed"] == "20.00"
    assert await owed(acme) == ["20.00"] * 3
    assert sorted(await steps(acme)) == [
        ("adjustment", "0.00", "0.00"), ("purchase", "30.00", "0.00"),
        ("taken_back", "-30.00", "20.00"),
    ]  # fmt: skip
    await check_laws(house)


async def test_the_next_top_up_pays_what_is_owed_first(house: House) -> None:
    """5 pay a part of 20 and change nothing for calls; 30 more pay the rest and 15 are left."""
    acme = await house.business("30.00")
    await take(acme, "50")

    await house.top_up(acme, "5.00")
    still = await house.chat(acme)
    between = await owed(acme)
    await house.top_up(acme, "30.00")

    assert (still.status_code, between) == (402, ["15.00"] * 3)
    assert await owed(acme) == ["0.00"] * 3
    assert await acme.available() == await acme.recorded() == Credits.parse("15.00")
    paid = [step for step in await steps(acme) if step[0] == "taken_back"]
    assert sorted(paid) == [
        ("taken_back", "-15.00", "-15.00"), ("taken_back", "-30.00", "20.00"),
        ("taken_back", "-5.00", "-5.00"),
    ]  # fmt: skip
    assert (await house.chat(acme)).status_code == 200
    await check_laws(house)


async def test_what_returns_from_a_call_pays_what_is_owed(house: House) -> None:
    """A running call keeps what it holds; what it did not need pays the debt."""
    acme = await house.business("10.00")
    openai_may_answer = asyncio.Event()
    house.openai.holds_replies(openai_may_answer)
    call = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)
    held = await acme.held()

    await take(acme, "10")
    during = await acme.balance()
    openai_may_answer.set()
    reply = await call
    (row,) = await acme.transactions()

    assert (during.total, during.held, during.owed) == (held, held, held)
    assert reply.status_code == 200
    assert await owed(acme) == [str(row.credits_used)] * 3
    assert await acme.recorded() == Credits(0)
    await check_laws(house)


async def test_a_take_back_that_is_covered_owes_nothing(house: House) -> None:
    """Calls go on with what is left."""
    acme = await house.business("30.00")

    await take(acme, "10")

    assert await owed(acme) == ["0.00"] * 3
    assert await acme.available() == await acme.recorded() == Credits.parse("20.00")
    assert (await house.chat(acme)).status_code == 200
