"""Changing a business in the admin API."""

from __future__ import annotations

from typing import Any

import pytest

from storage import movements
from storage.movements import CreditEvent
from tests.gateway.admin.an_admin import ACME, Admin

pytestmark = pytest.mark.anyio

EVERYTHING = {
    "name": "Acme & Daughters",
    "owner_email": "efua@acme.example",
    "owner_phone": "+233 20 000 0000",
    "time_zone": "Africa/Lagos",
    "low_balance_threshold": "2.50",
    "expires_after_months": 12,
}


async def change(admin: Admin, id: str, json: Any, **more: Any) -> Any:
    reply = await admin.call("PATCH", f"/admin/businesses/{id}", json, **more)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def events(admin: Admin, id: str) -> list[CreditEvent]:
    async with admin.database.read() as connection:
        return await movements.pending(connection, id)


async def test_what_is_given_is_changed_and_the_rest_stays(admin):
    """The audit log has both states."""
    id = await admin.business(owner_phone="+233 30 000 0000")

    renamed = await change(admin, id, {"name": "Acme & Sons"})
    changed = await change(admin, id, EVERYTHING)

    assert (renamed["name"], renamed["owner_phone"]) == ("Acme & Sons", "+233 30 000 0000")
    assert {name: changed[name] for name in EVERYTHING} == EVERYTHING
    assert changed == {**await admin.get(f"/admin/businesses/{id}"), "applied": True}
    assert await admin.audited() == ["business.add", "business.change", "business.change"]
    row = (await admin.get("/admin/audit"))["data"][0]
    assert (row["before"]["name"], row["after"]["name"]) == ("Acme & Sons", "Acme & Daughters")


async def test_a_threshold_travels_as_a_credit_event(admin):
    """Redis decides by it; a name stays in SQL."""
    id = await admin.business()

    await change(admin, id, {"name": "Acme Ltd"})
    none = await events(admin, id)
    await change(admin, id, {"low_balance_threshold": "2.5"})
    [event] = await events(admin, id)

    assert none == []
    assert (event.verb, str(event.low_at), event.credit_seq) == ("configure", "2.50", 1)
    assert admin.ledger.applied == [id, id]


async def test_what_is_so_already_is_not_written_again(admin):
    """No event, no row in the audit log."""
    id = await admin.business()

    await change(admin, id, {"name": ACME["name"], "low_balance_threshold": "10"})

    assert await events(admin, id) == []
    assert await admin.audited() == ["business.add"]


async def test_a_phone_can_be_forgotten(admin):
    """It is the one field that need not be there."""
    id = await admin.business(owner_phone="+233 30 000 0000")

    assert (await change(admin, id, {"owner_phone": None}))["owner_phone"] is None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "name"),
    ({"name": ""}, "name"),
    ({"name": None}, "name"),
    ({"owner_email": "nobody"}, "owner_email"),
    ({"owner_email": None}, "owner_email"),
    ({"owner_phone": "call me"}, "owner_phone"),
    ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ({"low_balance_threshold": 10}, "low_balance_threshold"),
    ({"low_balance_threshold": "-1"}, "low_balance_threshold"),
    ({"low_balance_threshold": None}, "low_balance_threshold"),
    ({"expires_after_months": 0}, "expires_after_months"),
    ({"currency": "NGN"}, "currency"),
    ({"status": "suspended"}, "status"),
    ({"balance": "1000"}, "balance"),
    ({"id": "x"}, "id"),
]


async def test_fields_that_are_not_understood_are_refused(admin):
    """The answer names the field; nothing is changed, not even what was right beside it."""
    id = await admin.business()
    before = await admin.get(f"/admin/businesses/{id}")
    for fields, named in WRONG:
        more = {} if not fields or "name" in fields else {"name": "Other"}
        reply = await admin.call("PATCH", f"/admin/businesses/{id}", {**more, **fields})

        assert reply.status_code == 400, fields
        assert reply.json()["error"]["param"] == named, fields
    assert await admin.get(f"/admin/businesses/{id}") == before


async def test_a_repeated_change_does_not_undo_a_later_one(admin):
    """With an Idempotency-Key the same request brings its first answer and does nothing."""
    id = await admin.business()
    headers = {"Idempotency-Key": "once"}
    first = await change(admin, id, {"name": "First"}, headers=headers)
    await change(admin, id, {"name": "Second"})

    again = await admin.call("PATCH", f"/admin/businesses/{id}", {"name": "First"}, headers=headers)

    assert again.json() == first
    assert again.headers["idempotency-replayed"] == "true"
    assert (await admin.get(f"/admin/businesses/{id}"))["name"] == "Second"


async def test_a_change_while_redis_is_away_says_so(admin):
    """SQL has it; the background tells Redis when it returns."""
    id = await admin.business()
    admin.ledger.away = True

    assert (await change(admin, id, {"low_balance_threshold": "5"}))["applied"] is False


@pytest.mark.parametrize("id", ["0198a1b2-0000-7000-8000-000000000000", "x"])
async def test_an_unknown_business_cannot_be_changed(admin, id):
    """404, whatever the id looks like."""
    reply = await admin.call("PATCH", f"/admin/businesses/{id}", {"name": "Acme"})

    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
