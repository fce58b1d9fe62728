"""Credentials at every door: without the right one nothing is done and nothing is told."""

from __future__ import annotations

import asyncio
import logging
import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, cast

import pytest

from gateway import authenticate
from gateway.admin.desk import Desk
from gateway.admin.routes import NOUNS
from gateway.objects import OBJECTS
from storage import keys
from tests.gateway.raw_caller import HELLO, request, sends
from tests.house import ADMIN_TOKEN, OUR_KEY, Acme, House, open_house
from tests.one_house import everything

pytestmark = pytest.mark.anyio

NO_DESK = cast(Desk, None)
ID = "0198a1b2-0000-7000-8000-000000000000"

V1 = [
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/gpt-5.4-mini"),
    ("GET", "/v1/credits"),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/organization/admin_api_keys"),
    ("GET", "/v1/chat/completions"),
    ("GET", "/v1/nothing"),
    ("GET", "/v1"),
    *((one.method, "/v1" + re.sub(r"\{\w+\}", "abc_123", one.path)) for one in OBJECTS),
]
ADMIN = [
    (method, re.sub(r"\{id\}", ID, route.path))
    for noun in NOUNS
    for route in noun(NO_DESK).routes()
    for method in sorted(route.methods or ())
    if method != "HEAD"
]


async def issued(acme: Acme, **given: Any) -> str:
    """One more key of a business."""
    async with acme.house.database.write() as connection:
        _, secret = await keys.issue(
            connection, business=acme.id, name="more", at=datetime.now(UTC), **given
        )
    return secret


async def revoked(acme: Acme) -> str:
    """A key that is revoked before its first use."""
    secret = await issued(acme)
    digest = sha256(secret.encode()).digest()
    async with acme.house.database.write() as connection:
        holder = await keys.find(connection, digest)
        assert holder is not None
        await keys.revoke(connection, holder.key_id, datetime.now(UTC))
    return secret


async def test_every_route_is_closed_without_the_right_credential(house: House, access_log, caplog):
    """401 in the envelope, the state unchanged, and no key in a reply or a log line."""
    caplog.set_level(logging.INFO)
    acme = await house.business()
    expired = await issued(acme, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    gone = await revoked(acme)
    unknown = "gw-" + "u" * 43
    bearer = "Authorization: Bearer "
    neither: dict[str, tuple[str, ...]] = {
        "no key": (),
        "malformed": (bearer + "gw-short",),
        "another kind": ("Authorization: Basic " + acme.key,),
        "unknown": (bearer + unknown,),
        "revoked": (bearer + gone,),
        "expired": (bearer + expired,),
        "OpenAI's": (bearer + OUR_KEY,),
        "in another header": (f"X-API-Key: {acme.key}", f"Cookie: key={acme.key}"),
    }
    wrong_at_v1 = neither | {
        "two": (bearer + acme.key, bearer + acme.key),
        "two, one empty": (bearer + acme.key, "Authorization:"),
        "the admin's": (bearer + ADMIN_TOKEN,),
    }
    wrong_at_admin = neither | {
        "two": (bearer + ADMIN_TOKEN, bearer + ADMIN_TOKEN),
        "a business's": (bearer + acme.key,),
    }
    before = await everything(house)
    said = []

    for routes, cases in ((V1, wrong_at_v1), (ADMIN, wrong_at_admin)):
        for method, path in routes:
            for case, headers in cases.items():
                target = f"{path}?key={acme.key}&api_key={ADMIN_TOKEN}"
                answer = await sends(house, request(method, target, *headers, body=HELLO))
                said.append(answer.body)

                assert answer.status == 401, (method, path, case)
                assert answer.headers["www-authenticate"] == "bearer"
                assert answer.headers["x-should-retry"] == "false"
                assert answer.headers["x-request-id"]
                assert answer.error["type"] == "invalid_request_error"

    assert house.openai.requests == []
    assert await everything(house) == before
    assert '"code":"invalid_api_key"' in access_log()
    everywhere = b"".join(said).decode() + access_log() + caplog.text
    for secret in (acme.key, expired, gone, unknown, ADMIN_TOKEN, OUR_KEY):
        assert secret not in everywhere


async def test_the_health_pages_need_no_credential_and_take_none(house: House):
    """A wrong one is not even looked at."""
    for path in ("/healthz", "/readyz"):
        answer = await sends(house, request("GET", path, "Authorization: Bearer nonsense"))

        assert answer.status == 200


async def test_a_key_that_is_revoked_is_refused_by_every_process_at_once(
    valkey_url, sqlite_records_url, monkeypatch
):
    """The channel tells the others; here nobody forgets by himself."""
    monkeypatch.setattr(authenticate, "FRESH_S", 3600.0)
    async with (
        open_house(redis_url=valkey_url, records_url=sqlite_records_url) as here,
        open_house(redis_url=valkey_url, records_url=sqlite_records_url) as there,
    ):
        acme = await here.business()
        assert (await there.client.get("/v1/credits", headers=acme.headers)).status_code == 200
        heard = asyncio.Event()
        told = there.parts.loops.authenticate
        forget = told.forget

        def forget_and_tell(digest: bytes) -> None:
            forget(digest)
            heard.set()

        monkeypatch.setattr(told, "forget", forget_and_tell)
        redis = here.parts.stores.redis
        while (await redis.pubsub_numsub("revoked"))[0][1] < 2:
            await asyncio.sleep(0.001)

        token = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        listed = await here.client.get(f"/admin/businesses/{acme.id}/keys", headers=token)
        (key,) = listed.json()["data"]
        answer = await here.client.delete(f"/admin/keys/{key['id']}", headers=token)
        await asyncio.wait_for(heard.wait(), 10)

        assert answer.status_code == 200
        for house in (here, there):
            reply = await house.client.get("/v1/credits", headers=acme.headers)
            assert reply.status_code == 401
            assert "revoked" in reply.json()["error"]["message"]


async def test_a_key_may_be_used_only_for_what_it_lists(house: House):
    """Endpoints, models and features of a key; nothing is forwarded otherwise."""
    acme = await house.business()
    scopes = keys.Scopes(endpoints=frozenset({"embeddings"}))
    async with house.database.write() as connection:
        _, narrow = await keys.issue(
            connection, business=acme.id, name="narrow", scopes=scopes, at=datetime.now(UTC)
        )

    reply = await house.chat(Acme(house, acme.id, narrow, acme.topped_up))

    assert reply.status_code == 403
    assert reply.headers["x-should-retry"] == "false"
    assert house.openai.requests == []
