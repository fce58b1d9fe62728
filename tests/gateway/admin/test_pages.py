"""Every list of the admin API stays joined while rows are added."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import insert

from storage.ids import new_id
from storage.tables import ai_transactions, ai_usage_alerts
from tests.gateway.admin.an_admin import NOW, Admin
from tests.gateway.cli.test_lists import call

pytestmark = pytest.mark.anyio

Add = Callable[[Admin, str, int], Awaitable[object]]


async def add_business(admin: Admin, acme: str, number: int) -> object:
    return await admin.business(name=f"Shop {number}")


async def add_key(admin: Admin, acme: str, number: int) -> object:
    return await admin.post(f"/admin/businesses/{acme}/keys", {"name": f"key {number}"})


async def add_purchase(admin: Admin, acme: str, number: int) -> object:
    return await admin.post(f"/admin/businesses/{acme}/top-ups", {"credits": "1"})


async def add_call(admin: Admin, acme: str, number: int) -> object:
    async with admin.database.write() as connection:
        return await connection.execute(insert(ai_transactions).values(call(acme, number)))


async def add_alert(admin: Admin, acme: str, number: int) -> object:
    row = {
        "id": new_id(), "business_id": acme, "alert_type": "low_balance",
        "current_balance_microcredits": 1, "threshold_microcredits": 2, "credit_seq": number,
        "sent_at": NOW, "acknowledged": False, "delivery_state": "pending",
    }  # fmt: skip
    async with admin.database.write() as connection:
        return await connection.execute(insert(ai_usage_alerts).values(row))


LISTS: dict[str, Add] = {
    "/admin/businesses": add_business,
    "/admin/businesses/{acme}/keys": add_key,
    "/admin/businesses/{acme}/purchases": add_purchase,
    "/admin/businesses/{acme}/transactions": add_call,
    "/admin/businesses/{acme}/alerts": add_alert,
    "/admin/audit": add_key,
}


@pytest.mark.parametrize("path", LISTS)
async def test_a_list_stays_joined_while_rows_are_added(admin: Admin, path: str) -> None:
    """The pages behind the first go on where it ended: nothing twice, nothing passed over."""
    acme, add = await admin.business(), LISTS[path]
    path = path.format(acme=acme)
    for number in range(1, 6):
        await add(admin, acme, number)
    before: list[dict[str, Any]] = (await admin.get(f"{path}?limit=200"))["data"]

    seen, after = [], ""
    for number in range(6, 60):
        page = await admin.get(f"{path}?limit=2{after}")
        seen += page["data"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
        await add(admin, acme, number)

    assert [row["id"] for row in seen] == [row["id"] for row in before]
    assert len(seen) >= 5
