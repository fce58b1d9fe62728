"""Alerts in the admin API."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from storage.ids import new_id
from storage.tables import ai_usage_alerts
from tests.gateway.admin.an_admin import NOW

pytestmark = pytest.mark.anyio


async def raised(admin, business: str, type: str = "low_balance") -> str:
    id = new_id()
    async with admin.database.write() as connection:
        await connection.execute(
            insert(ai_usage_alerts).values(
                id=id,
                business_id=business,
                alert_type=type,
                current_balance_microcredits=8_000_000,
                threshold_microcredits=10_000_000,
                credit_seq=1,
                sent_at=NOW,
                acknowledged=False,
                delivery_state="pending",
            )
        )
    return id


async def test_alerts_of_a_business_are_listed(admin):
    """With the balance at the moment, as decimals."""
    id, other = await admin.business(), await admin.business()
    alert = await raised(admin, id)
    await raised(admin, other)

    listed = (await admin.get(f"/admin/businesses/{id}/alerts"))["data"]

    assert [row["id"] for row in listed] == [alert]
    assert listed[0]["current_balance"] == "8.00"
    assert listed[0]["threshold"] == "10.00"
    assert listed[0]["acknowledged"] is False


async def test_who_acknowledges_first_stays(admin):
    """A second one is not an error and changes nothing."""
    alert = await raised(admin, await admin.business())
    path = f"/admin/alerts/{alert}/acknowledge"

    first = await admin.post(path, headers={"X-Admin-User": "ama"})
    second = await admin.post(path, {"by": "kofi"})

    assert first["acknowledged_by"] == second["acknowledged_by"] == "admin:ama"
    assert first["acknowledged_at"] == "2026-11-22T12:00:00.000Z"


async def test_an_admin_may_acknowledge_for_somebody(admin):
    """The owner called; the audit log says who typed it."""
    alert = await raised(admin, await admin.business())

    shown = await admin.post(f"/admin/alerts/{alert}/acknowledge", {"by": "the owner"})

    assert shown["acknowledged_by"] == "the owner"
    assert (await admin.get("/admin/audit"))["data"][0]["who"] == "admin"


@pytest.mark.parametrize("id", ["0198a1b2-0000-7000-8000-000000000000", "x"])
async def test_an_unknown_alert_is_a_404(admin, id):
    """Nothing is acknowledged."""
    assert (await admin.call("POST", f"/admin/alerts/{id}/acknowledge")).status_code == 404


async def test_an_alert_is_sent_again(admin):
    """Through what is set up, as the list shows; the audit log says who asked."""
    id = await admin.business()
    alert = await raised(admin, id)

    answer = await admin.post(f"/admin/alerts/{alert}/send-again", headers={"X-Admin-User": "ama"})

    told = [(each["channel"], each["state"], each["attempts"]) for each in answer["deliveries"]]
    assert told == [("email", "pending", 0), ("webhook", "pending", 0)]
    assert (await admin.get(f"/admin/businesses/{id}/alerts"))["data"] == [answer]
    entry = (await admin.get("/admin/audit"))["data"][0]
    assert (entry["who"], entry["what"]) == ("admin:ama", "alert.send_again")
    assert (entry["object_id"], entry["after"]) == (alert, answer)


async def test_an_unknown_alert_is_not_sent_again(admin):
    """A 404, and nothing in the audit log."""
    path = "/admin/alerts/0198a1b2-0000-7000-8000-000000000000/send-again"

    assert (await admin.call("POST", path)).status_code == 404
    assert await admin.audited() == []
