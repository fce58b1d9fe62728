"""The door: nobody passes without the token, whatever they ask for."""

from __future__ import annotations

import re
from typing import cast

import httpx2
import pytest

from gateway.admin.desk import Desk
from gateway.admin.routes import NOUNS
from tests.gateway.admin.an_admin import TOKEN, Ledger, app_on

pytestmark = pytest.mark.anyio

ID = "0198a1b2-0000-7000-8000-000000000000"
NO_DESK = cast(Desk, None)  # Nobody gets as far as the desk here.
ROUTES = [
    (method, re.sub(r"\{id\}", ID, route.path))
    for noun in NOUNS
    for route in noun(NO_DESK).routes()
    for method in sorted(route.methods or ())
]
CLOSED = [
    *ROUTES,
    ("GET", "/admin"),
    ("GET", "/admin/"),
    ("GET", "/admin/nothing/here"),
    ("PATCH", "/admin/businesses"),
    ("OPTIONS", "/admin/businesses"),
    ("GET", "/admin//businesses"),
    ("GET", "/admin/../v1"),
]


WITHOUT_TOKEN = [
    {},
    {"authorization": "Bearer wrong"},
    {"authorization": "Bearer "},
    {"authorization": f"Basic {TOKEN}"},
    {"authorization": TOKEN},
    {"authorization": f"Bearer {TOKEN} "},
    {"authorization": "Bearer gw-" + "a" * 43},
    {"x-api-key": TOKEN},
]


@pytest.fixture
def database(sqlite_database):
    """The door does not depend on the engine."""
    return sqlite_database


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_every_path_is_closed_without_the_token(admin, method, path):
    """Known, unknown and odd paths alike: 401 comes before 404 and 405."""
    for headers in WITHOUT_TOKEN:
        reply = await admin.bare(method, path, headers=headers)

        assert reply.status_code == 401, headers
        assert reply.headers["www-authenticate"] == "Bearer"
        if method != "HEAD":
            assert reply.json()["error"]["code"] == "invalid_admin_token"


async def test_two_tokens_are_one_too_many(admin):
    """Which of them a proxy had checked nobody knows."""
    headers = [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer other")]

    assert (await admin.bare("GET", "/admin/audit", headers=headers)).status_code == 401


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_without_a_configured_token_everything_is_closed(sqlite_database, method, path):
    """No token is not an empty token; the answer says how to set one."""
    transport = httpx2.ASGITransport(app_on(sqlite_database, Ledger(), token=None))
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
        for headers in ({}, {"authorization": "Bearer "}, {"authorization": f"Bearer {TOKEN}"}):
            reply = await client.request(method, path, headers=headers)

            assert reply.status_code == 403
            if method != "HEAD":
                assert reply.json()["error"]["code"] == "admin_disabled"
                assert "GATEWAY__ADMIN__TOKEN" in reply.json()["error"]["message"]


async def test_no_token_is_never_the_token(sqlite_database):
    """Not even where somebody has configured the digest of nothing."""
    transport = httpx2.ASGITransport(app_on(sqlite_database, Ledger(), token=""))
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
        for headers in WITHOUT_TOKEN:
            assert (await client.get("/admin/audit", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/admin", 404),
        ("GET", "/admin/businesses/", 404),
        ("GET", "/admin/nothing", 404),
        ("PUT", "/admin/businesses", 405),
        ("GET", f"/admin/keys/{ID}", 405),
    ],
)
async def test_unknown_paths_and_methods_get_the_envelope(admin, method, path, status):
    """OpenAI's error envelope, also for what the framework refuses."""
    reply = await admin.call(method, path)

    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-should-retry"] == "false"
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert ("allow" in reply.headers) == (status == 405)


async def test_replies_are_not_kept_by_anybody(admin):
    """Balances and keys in a shared cache would be somebody else's."""
    reply = await admin.call("GET", "/admin/businesses")

    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-request-id"]


async def test_the_name_of_an_admin_is_in_the_audit_log(admin):
    """The token proves an admin; the header says which."""
    await admin.post("/admin/businesses", {"name": "A", "owner_email": "a@b"}, headers={})
    named = {"X-Admin-User": "Ama Mensah"}
    await admin.post("/admin/businesses", {"name": "B", "owner_email": "a@b"}, headers=named)

    rows = (await admin.get("/admin/audit"))["data"]

    assert [row["who"] for row in rows] == ["admin:Ama Mensah", "admin"]


@pytest.mark.parametrize("name", ["", "a" * 101, "Am\xe4", " "])
async def test_a_name_that_cannot_be_shown_is_refused(admin, name):
    """Nobody hides in the audit log."""
    reply = await admin.call("GET", "/admin/audit", headers={"X-Admin-User": name.encode("latin1")})

    assert reply.status_code == 400


async def test_an_error_nobody_foresaw_stays_inside(admin, monkeypatch):
    """A 500 says nothing of what happened."""

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("canary: a password")

    monkeypatch.setattr("storage.audit_log.page", broken)
    reply = await admin.call("GET", "/admin/audit")

    assert reply.status_code == 500
    assert reply.json()["error"]["code"] == "internal_error"
    assert "canary" not in reply.text


async def test_records_that_are_away_are_a_503(admin, monkeypatch):
    """The same may work in a moment, and the reply says so."""
    from storage.errors import RecordsUnavailable

    async def away(*_: object, **__: object) -> None:
        raise RecordsUnavailable("SQL does not answer")

    monkeypatch.setattr("storage.audit_log.page", away)
    reply = await admin.call("GET", "/admin/audit")

    assert reply.status_code == 503
    assert reply.headers["x-should-retry"] == "true"
    assert reply.headers["retry-after"]
