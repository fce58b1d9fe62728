"""API keys in the admin API."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest
from sqlalchemy import text

from metering.rates import RateCard
from storage import keys, prices
from tests.gateway.admin.an_admin import NOW

pytestmark = pytest.mark.anyio

UNKNOWN = "0198a1b2-0000-7000-8000-000000000000"


async def test_a_key_is_shown_once_and_never_again(admin):
    """SQL keeps its digest; no answer and no audit row has the key."""
    id = await admin.business()

    issued = await admin.post(f"/admin/businesses/{id}/keys", {"name": "till"})
    secret = issued["key"]

    assert re.fullmatch(r"gw-[A-Za-z0-9_-]{43}", secret)
    listed = await admin.get(f"/admin/businesses/{id}/keys")
    assert [key["id"] for key in listed["data"]] == [issued["id"]]
    everything = f"{listed}{await admin.get('/admin/audit')}"
    assert secret not in everything
    assert secret[3:] not in everything
    assert "digest" not in everything
    assert sha256(secret.encode()).hexdigest() not in everything
    async with admin.database.read() as connection:
        holder = await keys.find(connection, sha256(secret.encode()).digest())
        stored = (await connection.execute(text("SELECT * FROM api_keys"))).one()
    assert holder is not None
    assert holder.business == id
    assert secret not in str(stored)


async def test_scopes_are_kept(admin):
    """What a key may be used for is on the key."""
    id = await admin.business()
    form = {
        "name": "till",
        "scopes": {"endpoints": ["chat.completions"], "models": ["gpt-5"], "features": ["product"]},
        "default_feature": "product",
        "expires_at": "2027-01-31T12:00:00+01:00",
    }

    issued = await admin.post(f"/admin/businesses/{id}/keys", form)

    assert issued["scopes"] == form["scopes"]
    assert issued["default_feature"] == "product"
    assert issued["expires_at"] == "2027-01-31T11:00:00.000Z"


async def test_a_model_without_a_price_is_no_scope(admin):
    """The nearest names are told; a dated name of a model, and a price of our own, are known."""
    id = await admin.business()
    path = f"/admin/businesses/{id}/keys"
    scoped = {"name": "till", "scopes": {"models": ["gpt-5.4-minni"]}}

    refused = await admin.call("POST", path, scoped)
    async with admin.database.write() as connection:
        await prices.add(
            connection,
            model="gpt-5.4-minni",
            valid_from=NOW,
            row={"input": "1"},
            version="v",
            who="admin",
            source="here",
            at=NOW,
        )
    known = next(row for row in RateCard.load().models.values() if row.aliases)
    dated = {"name": "dated", "scopes": {"models": [known.aliases[0], known.id]}}

    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, "scopes.models.0")
    assert "did you mean gpt-5.4-mini" in error["message"]
    assert (await admin.post(path, scoped))["scopes"]["models"] == ["gpt-5.4-minni"]
    assert await admin.post(path, dated)


async def test_limits_are_kept(admin):
    """A cap is a decimal string; a limit that is left out is null: as the settings say."""
    id = await admin.business()
    form = {
        "name": "pupil",
        "credit_cap": "2.50",
        "requests_per_minute": 60,
        "tokens_per_minute": 100_000,
        "concurrent": 5,
    }

    limited = await admin.post(f"/admin/businesses/{id}/keys", form)
    free = await admin.post(f"/admin/businesses/{id}/keys", {"name": "till"})

    listed = await admin.get(f"/admin/businesses/{id}/keys")
    assert {name: limited[name] for name in form} == form
    assert {name: listed["data"][1][name] for name in form} == form
    assert {free[name] for name in form if name != "name"} == {None}


WRONG = [
    ({}, "name"),
    ({"name": "a", "scopes": ["chat"]}, "scopes"),
    ({"name": "a", "scopes": {"endpoints": ["chat"]}}, "scopes.endpoints.0"),
    ({"name": "a", "scopes": {"everything": []}}, "scopes.everything"),
    ({"name": "a", "scopes": {"models": "gpt-5"}}, "scopes.models"),
    ({"name": "a", "scopes": {"models": ["two words"]}}, "scopes.models.0"),
    ({"name": "a", "scopes": {"models": ["gpt-5", "gpt-nope"]}}, "scopes.models.1"),
    ({"name": "a", "credit_cap": 5}, "credit_cap"),
    ({"name": "a", "credit_cap": "0"}, "credit_cap"),
    ({"name": "a", "credit_cap": "-1"}, "credit_cap"),
    ({"name": "a", "requests_per_minute": 0}, "requests_per_minute"),
    ({"name": "a", "requests_per_minute": "60"}, "requests_per_minute"),
    ({"name": "a", "tokens_per_minute": 10**9 + 1}, "tokens_per_minute"),
    ({"name": "a", "tokens_per_minute": 1.5}, "tokens_per_minute"),
    ({"name": "a", "concurrent": -1}, "concurrent"),
    ({"name": "a", "concurrent": True}, "concurrent"),
    ({"name": "a", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ({"name": "a", "expires_at": "2027-01-01T00:00:00"}, "expires_at"),
    ({"name": "a", "expires_at": "soon"}, "expires_at"),
    ({"name": "a", "expires_at": 1893456000}, "expires_at"),
    ({"name": "a", "key": "gw-mine"}, "key"),
]


async def test_keys_that_cannot_be_are_refused(admin):
    """The field is named and no key is made."""
    id = await admin.business()
    for form, param in WRONG:
        reply = await admin.call("POST", f"/admin/businesses/{id}/keys", form)

        assert reply.status_code == 400, form
        assert reply.json()["error"]["param"] == param
    assert (await admin.get(f"/admin/businesses/{id}/keys"))["data"] == []


async def test_a_key_of_nobody_is_a_404(admin):
    """No business, no key."""
    for id in (UNKNOWN, "x"):
        reply = await admin.call("POST", f"/admin/businesses/{id}/keys", {"name": "till"})

        assert reply.status_code == 404


async def test_revoking_is_announced_to_every_process(admin):
    """The digest goes out, so that nobody remembers the key."""
    id = await admin.business()
    issued = await admin.post(f"/admin/businesses/{id}/keys", {"name": "till"})

    revoked = (await admin.call("DELETE", f"/admin/keys/{issued['id']}")).json()

    assert revoked["revoked_at"] is not None
    assert revoked["announced"] is True
    assert admin.ledger.revoked == [sha256(issued["key"].encode()).digest()]
    assert await admin.audited() == ["business.add", "key.issue", "key.revoke"]


async def test_revoking_twice_is_revoking_once(admin):
    """The first moment stays; the digest goes out again, in case it was lost."""
    id = await admin.business()
    issued = await admin.post(f"/admin/businesses/{id}/keys", {"name": "till"})
    path = f"/admin/keys/{issued['id']}"

    first = (await admin.call("DELETE", path)).json()

    assert (await admin.call("DELETE", path)).json() == first
    assert len(admin.ledger.revoked) == 2
    assert await admin.audited() == ["business.add", "key.issue", "key.revoke"]


async def test_revoking_while_redis_is_away_holds(admin):
    """Processes look for themselves within seconds; the answer says that nobody was told."""
    id = await admin.business()
    issued = await admin.post(f"/admin/businesses/{id}/keys", {"name": "till"})
    admin.ledger.away = True

    revoked = (await admin.call("DELETE", f"/admin/keys/{issued['id']}")).json()

    assert revoked["revoked_at"] is not None
    assert revoked["announced"] is False


@pytest.mark.parametrize("id", [UNKNOWN, "x"])
async def test_revoking_an_unknown_key_is_a_404(admin, id):
    """Nothing is announced either."""
    assert (await admin.call("DELETE", f"/admin/keys/{id}")).status_code == 404
    assert admin.ledger.revoked == []


async def test_pages_of_keys(admin):
    """Newest first, each once."""
    id = await admin.business()
    path = f"/admin/businesses/{id}/keys"
    made = [(await admin.post(path, {"name": f"k{number}"}))["id"] for number in range(3)]

    first = await admin.get(path, params={"limit": 2})
    second = await admin.get(path, params={"limit": 2, "after": first["next"]})

    assert [key["id"] for key in first["data"] + second["data"]] == made[::-1]
    assert second["next"] is None
