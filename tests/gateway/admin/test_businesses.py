"""Businesses in the admin API."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateway.admin.an_admin import ACME

pytestmark = pytest.mark.anyio

UNKNOWN = "0198a1b2-0000-7000-8000-000000000000"


async def test_a_business_begins_with_nothing(admin):
    """Credits come with a top-up, and so does their expiry."""
    made = await admin.post("/admin/businesses", ACME)

    assert made["name"] == "Acme"
    assert made["status"] == "active"
    assert made["balance"] == "0.00"
    assert made["expires_at"] is None
    assert made["low_balance_threshold"] == "10.00"
    assert made == await admin.get(f"/admin/businesses/{made['id']}")
    assert await admin.audited() == ["business.add"]


async def test_what_is_given_is_kept(admin):
    """Every field of the form is one of the record."""
    form = {
        **ACME,
        "owner_phone": "+233 20 000 0000",
        "currency": "NGN",
        "time_zone": "Africa/Lagos",
        "low_balance_threshold": "2.5",
        "expires_after_months": 12,
    }

    made = await admin.post("/admin/businesses", form)

    assert {name: made[name] for name in form} == {**form, "low_balance_threshold": "2.50"}


WRONG = [
    ("name", ""),
    ("name", "   "),
    ("name", "a" * 201),
    ("name", 5),
    ("name", None),
    ("name", "a\x00b"),
    ("name", "line\nbreak"),
    ("name", "\u202egnihtyna"),
    ("owner_email", "nobody"),
    ("owner_email", "a@b@c"),
    ("owner_email", "@b"),
    ("owner_phone", "call me"),
    ("currency", "XXX"),
    ("currency", "ghs"),
    ("time_zone", "Mars/Olympus"),
    ("time_zone", "../../etc/passwd"),
    ("time_zone", ""),
    ("low_balance_threshold", 10),
    ("low_balance_threshold", "-1"),
    ("low_balance_threshold", "NaN"),
    ("expires_after_months", 0),
    ("expires_after_months", "6"),
    ("expires_after_months", True),
    ("expires_after_months", 121),
    ("status", "suspended"),
    ("id", UNKNOWN),
    ("balance", "1000"),
]


async def test_fields_that_are_not_understood_are_refused(admin):
    """The answer names the field; nothing is stored, and nothing can be set that is ours."""
    for field, value in WRONG:
        reply = await admin.call("POST", "/admin/businesses", {**ACME, field: value})

        assert reply.status_code == 400, (field, value)
        assert reply.json()["error"]["param"] == field, value
        assert reply.json()["error"]["message"].startswith(f"{field}: "), value
    assert (await admin.get("/admin/businesses"))["data"] == []
    assert await admin.audited() == []


async def test_a_missing_field_is_named(admin):
    """Name and address are what a business needs."""
    reply = await admin.call("POST", "/admin/businesses", {"name": "Acme"})

    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == "owner_email: is missing"


NO_OBJECTS = [
    (b"{", "application/json", 400),
    (b"[]", "application/json", 400),
    (b'"x"', "application/json", 400),
    (b"\xff", "application/json", 400),
    (b"[" * 100_000, "application/json", 400),
    (b'{"name": "\\ud800", "owner_email": "a@b"}', "application/json", 400),
    (b"", "application/json", 400),
    (b"name=Acme", "application/x-www-form-urlencoded", 415),
    (b"{}", "", 415),
    (b"{}", "text/plain", 415),
    (b" " * (2**20 + 1), "application/json", 413),
]


async def test_bodies_that_are_no_json_objects_are_refused(admin):
    """Whatever comes, the answer is an envelope and not a crash."""
    for content, type, status in NO_OBJECTS:
        reply = await admin.call(
            "POST", "/admin/businesses", content=content, headers={"content-type": type}
        )

        assert reply.status_code == status, content[:40]
        assert reply.json()["error"]["message"]


async def test_a_body_without_a_length_is_bounded_too(admin):
    """A stream that does not end is cut at the cap."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    reply = await admin.call(
        "POST",
        "/admin/businesses",
        content=endless(),
        headers={"content-type": "application/json"},
    )

    assert reply.status_code == 413


async def test_a_compressed_body_is_refused(admin):
    """Its size could not be bounded."""
    headers = {"content-type": "application/json", "content-encoding": "gzip"}

    reply = await admin.call("POST", "/admin/businesses", content=b"{}", headers=headers)

    assert reply.status_code == 415


async def test_pages_hold_every_business_once_newest_first(admin):
    """`next` is what `after` should be; it is null at the end."""
    made = [await admin.business(name=f"B{number}") for number in range(5)]
    seen, after = [], None
    for _ in range(3):
        asked = {"limit": 2} | ({"after": after} if after else {})
        page = await admin.get("/admin/businesses", params=asked)
        seen += [row["id"] for row in page["data"]]
        after = page["next"]

    assert seen == made[::-1]
    assert after is None
    assert (await admin.get("/admin/businesses", params={"limit": 5}))["next"] is None


async def test_pages_that_cannot_be_are_refused(admin):
    """A misspelt parameter is not silently the first page."""
    limits = ["0", "201", "-1", "x", "", "1&limit=2", "１"]
    for query in [*(f"limit={limit}" for limit in limits), "after=x", "after=", "offset=2"]:
        assert (await admin.call("GET", f"/admin/businesses?{query}")).status_code == 400, query


UNDER_A_BUSINESS = [
    ("GET", ""),
    ("POST", "/suspend"),
    ("POST", "/resume"),
    ("GET", "/keys"),
    ("GET", "/credits"),
    ("GET", "/purchases"),
    ("GET", "/transactions"),
    ("GET", "/alerts"),
]


async def test_unknown_businesses_are_404(admin):
    """On every path beneath them."""
    for id in (UNKNOWN, "x", "1", "%00", "a" * 500, "'; DROP TABLE businesses"):
        for method, path in UNDER_A_BUSINESS:
            reply = await admin.call(method, f"/admin/businesses/{id}{path}")

            assert reply.status_code == 404, (id, path)
            assert reply.json()["error"]["code"] == "not_found"


async def test_suspending_reaches_the_ledger_before_the_answer(admin):
    """So that no call passes once the admin has read it; resuming the same."""
    id = await admin.business()

    suspended = await admin.post(f"/admin/businesses/{id}/suspend")
    resumed = await admin.post(f"/admin/businesses/{id}/resume")

    assert (suspended["status"], suspended["applied"]) == ("suspended", True)
    assert resumed["status"] == "active"
    assert admin.ledger.applied == [id, id]
    assert await admin.audited() == ["business.add", "business.suspend", "business.resume"]


async def test_suspending_twice_is_suspending_once(admin):
    """The second changes nothing, and the audit log does not say it did."""
    id = await admin.business()
    await admin.post(f"/admin/businesses/{id}/suspend")

    assert (await admin.post(f"/admin/businesses/{id}/suspend"))["status"] == "suspended"
    assert await admin.audited() == ["business.add", "business.suspend"]


async def test_suspending_while_redis_is_away_says_so(admin):
    """SQL has it; the background tells Redis when it returns."""
    id = await admin.business()
    admin.ledger.away = True

    assert (await admin.post(f"/admin/businesses/{id}/suspend"))["applied"] is False
    assert (await admin.get(f"/admin/businesses/{id}"))["status"] == "suspended"


async def test_the_audit_log_has_before_and_after(admin):
    """What changed can be read from one row."""
    id = await admin.business()
    await admin.post(f"/admin/businesses/{id}/suspend")

    row = (await admin.get("/admin/audit"))["data"][0]

    assert row["object_id"] == id
    assert (row["before"]["status"], row["after"]["status"]) == ("active", "suspended")


async def test_a_repeated_request_adds_one_business(admin):
    """An Idempotency-Key makes a retry safe."""
    headers = {"Idempotency-Key": "once"}

    first = await admin.post("/admin/businesses", ACME, headers=headers)
    second = await admin.post("/admin/businesses", ACME, headers=headers)

    assert first == second
    assert len((await admin.get("/admin/businesses"))["data"]) == 1
