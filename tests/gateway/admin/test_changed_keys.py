"""Limits of a key that are changed after its issue."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from storage import partition_rows
from tests.gateway.admin.an_admin import Admin
from tests.storage.outbox_entries import Redis, record

pytestmark = pytest.mark.anyio

UNKNOWN = "0198a1b2-0000-7000-8000-000000000000"
LIMITS = {
    "requests_per_minute": 60,
    "tokens_per_minute": 100_000,
    "concurrent": 5,
    "credit_cap": "2.50",
}


async def issued(admin: Admin, **fields: Any) -> dict[str, Any]:
    id = await admin.business()
    key: dict[str, Any] = await admin.post(
        f"/admin/businesses/{id}/keys", {"name": "till", **fields}
    )
    return key


async def change(admin: Admin, key: dict[str, Any], json: Any, **more: Any) -> dict[str, Any]:
    """The body of a PATCH that must succeed."""
    reply = await admin.call("PATCH", f"/admin/keys/{key['id']}", json, **more)
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def listed(admin: Admin, key: dict[str, Any]) -> dict[str, Any]:
    [one] = (await admin.get(f"/admin/businesses/{key['business_id']}/keys"))["data"]
    assert isinstance(one, dict)
    return one


async def test_what_is_named_changes_and_the_rest_stays(admin):
    """Every process is told at once; the record has both states."""
    key = await issued(admin)

    await change(admin, key, LIMITS)
    changed = await change(admin, key, {"concurrent": 7, "credit_cap": "3"})

    expected = LIMITS | {"concurrent": 7, "credit_cap": "3.00"}
    assert {name: changed[name] for name in LIMITS} == expected
    assert (changed["announced"], changed["name"]) == (True, "till")
    assert admin.ledger.revoked == [sha256(key["key"].encode()).digest()] * 2
    assert await admin.audited() == ["business.add", "key.issue", "key.change", "key.change"]
    last = (await admin.get("/admin/audit"))["data"][0]
    assert (last["before"]["concurrent"], last["after"]["concurrent"]) == (5, 7)
    assert key["key"] not in str(last)


async def test_null_takes_a_limit_away(admin):
    """Then it is as the settings say, and the cap is none."""
    key = await issued(admin, **LIMITS)

    changed = await change(admin, key, dict.fromkeys(LIMITS))

    assert {changed[name] for name in LIMITS} == {None}
    one = await listed(admin, key)
    assert {one[name] for name in (*LIMITS, "spent")} == {None}


WRONG = [
    ({}, "requests_per_minute"),
    ({"requests_per_minute": 0}, "requests_per_minute"),
    ({"tokens_per_minute": "60"}, "tokens_per_minute"),
    ({"concurrent": -1}, "concurrent"),
    ({"credit_cap": 5}, "credit_cap"),
    ({"credit_cap": "0"}, "credit_cap"),
    ({"name": "other"}, "name"),
    ({"concurrent": 2, "scopes": {}}, "scopes"),
]


async def test_changes_that_cannot_be_are_refused(admin):
    """The field is named and nothing is changed."""
    key = await issued(admin, **LIMITS)
    for form, param in WRONG:
        reply = await admin.call("PATCH", f"/admin/keys/{key['id']}", form)

        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), form
    assert await admin.audited() == ["business.add", "key.issue"]


async def test_what_is_so_already_is_not_written_again(admin):
    """The record stays short; processes are told again, in case that was lost."""
    key = await issued(admin, **LIMITS)

    await change(admin, key, {"concurrent": 5})

    assert await admin.audited() == ["business.add", "key.issue"]
    assert len(admin.ledger.revoked) == 1


async def test_a_repeated_change_does_not_undo_a_later_one(admin):
    """With an Idempotency-Key the same request brings its first answer and does nothing."""
    key = await issued(admin)
    headers = {"Idempotency-Key": "once"}
    first = await change(admin, key, {"concurrent": 1}, headers=headers)
    await change(admin, key, {"concurrent": 2})

    again = await admin.call(
        "PATCH", f"/admin/keys/{key['id']}", {"concurrent": 1}, headers=headers
    )
    other = await admin.call(
        "PATCH", f"/admin/keys/{key['id']}", {"concurrent": 3}, headers=headers
    )

    assert again.json() == first
    assert again.headers["idempotency-replayed"] == "true"
    assert other.status_code == 422
    assert (await listed(admin, key))["concurrent"] == 2


async def test_a_change_while_redis_is_away_holds(admin):
    """Processes look for themselves within seconds; the answer says that nobody was told."""
    key = await issued(admin)
    admin.ledger.away = True

    assert (await change(admin, key, {"concurrent": 2}))["announced"] is False
    assert (await listed(admin, key))["concurrent"] == 2


@pytest.mark.parametrize("id", [UNKNOWN, "x"])
async def test_an_unknown_key_cannot_be_changed(admin, id):
    """404, whatever the id looks like."""
    reply = await admin.call("PATCH", f"/admin/keys/{id}", {"concurrent": 2})

    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


async def test_a_list_says_what_was_spent_of_a_cap(admin):
    """By that key alone, and by calls that are recorded; of a key without a cap it is null."""
    capped = await issued(admin, credit_cap="5")
    path = f"/admin/businesses/{capped['business_id']}/keys"
    fresh = await admin.post(path, {"name": "fresh", "credit_cap": "1"})
    free = await admin.post(path, {"name": "free"})
    await admin.post(f"/admin/businesses/{capped['business_id']}/top-ups", {"credits": "9"})
    async with admin.database.write() as connection:
        await partition_rows.ensure(connection)
    redis = Redis(capped["business_id"])
    await record(
        admin.database,
        redis.charges("0.75", row={"key_id": capped["id"]}),
        redis.charges("0.000001", row={"key_id": capped["id"]}),
        redis.charges("3", row={"key_id": free["id"]}),
    )

    spent = {key["id"]: key["spent"] for key in (await admin.get(path))["data"]}

    assert spent == {capped["id"]: "0.750001", fresh["id"]: "0.00", free["id"]: None}
