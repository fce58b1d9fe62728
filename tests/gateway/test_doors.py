"""The doors: what is not written exactly so is not let through."""

from __future__ import annotations

import json
import random

import pytest

from tests.gateway.raw_caller import HELLO, authorization, request, sends
from tests.house import ADMIN_TOKEN
from tests.one_house import set_up

pytestmark = pytest.mark.anyio

CALL = "/v1/chat/completions"

TRICKS = [
    "/v1/../v1/chat/completions",
    "/v1/models/../chat/completions",
    "/v1/./chat/completions",
    "/v1/%2e%2e/v1/chat/completions",
    "/v1/chat%2fcompletions",
    "/v1/chat%2Fcompletions",
    "/v1/%63hat/completions",
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/v1/chat//completions",
    "/v1/chat/completions/",
    "/v1/chat/completions//",
    "/v1/chat/completions;a=b",
    "/v1;a/chat/completions",
    "/v1\\chat\\completions",
    "/v1/chat\\completions",
    "/V1/chat/completions",
    "/v1/Chat/Completions",
    "/v1/chat/completions%00",
    "/v1/chat/completions%0a",
    "/v1/chat/completions%20",
    "/v1/chat/completions.",
    "/v1/chat/completions.json",
    "/v1/chat/completions#x",
    "/v1/files/../organization/admin_api_keys",
    "/v1/organization/admin_api_keys/../../chat/completions",
    "/admin/../v1/chat/completions",
    "/healthz/../v1/chat/completions",
    "http://gateway.example/v1/chat/completions",
    "https://api.openai.com/v1/chat/completions",
    "http://gateway.example@evil.example/v1/chat/completions",
    "v1/chat/completions",
    "*",
    "?/v1/chat/completions",
    "/?/v1/chat/completions",
    "gateway.example:443",
]


async def test_a_path_that_is_written_otherwise_is_not_served(house):
    """The raw path is matched; nothing decodes, joins or tidies it before or after."""
    acme = await house.business()

    for target in TRICKS:
        answer = await sends(house, request("POST", target, authorization(acme), body=HELLO))

        assert answer.status in (400, 401, 404), target
        assert answer.error["type"] == "invalid_request_error"
        assert answer.headers["x-should-retry"] == "false"
        assert house.openai.requests == [], target


def mutants(count: int) -> list[bytes]:
    """Paths that differ from the served one by up to three bytes, always the same ones."""
    chance = random.Random(20261122)
    odd = [b"/", b"//", b".", b"..", b"%2e", b"%2F", b"%00", b"%", b";", b"\\", b"@", b":", b"~"]
    odd += [bytes([byte]) for byte in range(256) if byte not in b" \r\n?"]
    made: set[bytes] = set()
    while len(made) < count:
        path = bytearray(CALL.encode())
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(path) + 1)
            path[place : place + chance.randint(0, 2)] = chance.choice(odd)
        if bytes(path) != CALL.encode():
            made.add(bytes(path))
    return sorted(made)


async def test_three_hundred_mutants_of_a_path_are_all_refused(house):
    """Whatever is one byte off is another path."""
    acme = await house.business()
    statuses = set()

    for path in mutants(300):
        answer = await sends(house, request("POST", path, authorization(acme), body=HELLO))
        statuses.add(answer.status)
        assert answer.error["message"], path

    assert statuses <= {400, 401, 403, 404, 405}
    assert house.openai.requests == []
    assert await acme.transactions() == []


async def test_a_query_is_not_passed_on(house):
    """Some of OpenAI's choose another version or project; none of them reaches it."""
    acme = await house.business()
    target = f"{CALL}?api-version=x&key={acme.key}"

    answer = await sends(house, request("POST", target, authorization(acme), body=HELLO))

    assert answer.status == 200
    assert house.openai.requests[0].path == "/v1/chat/completions"
    assert acme.key not in answer.body.decode()


async def test_a_path_without_v1_is_told_where_it_is(house):
    """The usual mistake of a new user; nothing is redirected, nothing forwarded."""
    for method, path in (
        ("POST", "/chat/completions"),
        ("GET", "/models"),
        ("GET", "/models/gpt-5.4-mini"),
        ("GET", "/credits"),
        ("POST", "/embeddings"),
    ):
        reply = await house.client.request(method, path, json={} if method == "POST" else None)

        assert reply.status_code == 404
        assert f"did you mean /v1{path}?" in reply.json()["error"]["message"]
    assert house.openai.requests == []


async def test_everything_else_is_not_found_in_the_envelope(house):
    """Nothing is served by default; not even the framework's own pages."""
    for path in ("/", "/favicon.ico", "/metrics/x", "/docs", "/openapi.json", "/static/a.css"):
        reply = await house.client.get(path)

        error = reply.json()["error"]
        assert (reply.status_code, error["code"]) == (404, "unknown_url"), path
        assert set(error) == {"message", "type", "param", "code"}
        assert reply.headers["x-should-retry"] == "false"
        assert reply.headers["x-request-id"]


async def test_the_health_pages_are_open_and_say_nothing_of_anybody(house):
    """For load balancers, which have no key."""
    alive = await house.client.get("/healthz")
    ready = await house.client.get("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "redis": "ok", "sql": "ok", "ledger": "ok"}


async def test_an_offer_to_upgrade_a_call_is_refused_as_a_whole(house):
    """The parser drops the body of such a call (h2c: Java's own client makes them)."""
    acme = await house.business()
    offer = ("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
    line = request("POST", CALL, authorization(acme), *offer, body=HELLO)
    line = line.replace(b"Connection: close", b"Connection: Upgrade, HTTP2-Settings")

    answer = await sends(house, line)

    assert (answer.status, answer.error["code"]) == (426, "upgrade_refused")
    assert "without `Upgrade`" in answer.error["message"]
    assert house.openai.requests == []


async def test_no_origin_is_let_in(house):
    """CORS is off: a key in a browser is a key of everybody."""
    acme = await house.business()
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}

    preflight = await house.client.options(CALL, headers=origin)
    reply = await house.chat(acme, headers=origin)

    assert preflight.status_code == 401
    assert not any(name.startswith("access-control") for name in preflight.headers)
    assert not any(name.startswith("access-control") for name in reply.headers)


@set_up(server__allowed_hosts='["api.shop.example"]')
async def test_a_host_that_is_not_listed_is_not_served(house):
    """Exactly one Host, in any case, with any port."""
    acme = await house.business()
    line = request("POST", CALL, authorization(acme), body=HELLO)
    hosts = {
        b"Host: api.shop.example": 200,
        b"Host: API.Shop.Example:8080": 200,
        b"Host: gateway.example": 400,
        b"Host: api.shop.example.evil.example": 400,
        b"Host: api.shop.example/admin": 400,
        b"Host: api.shop.example\r\nHost: gateway.example": 400,
        b"X-Host: api.shop.example": 400,
    }

    for host, status in hosts.items():
        answer = await sends(house, line.replace(b"Host: gateway.example", host))

        assert answer.status == status, host
    assert len(house.openai.requests) == 2


async def test_the_admin_api_is_on_the_same_listener_by_default(house):
    """Behind its own token; a business's key opens nothing there."""
    acme = await house.business()
    token = {"Authorization": f"Bearer {ADMIN_TOKEN}"}

    assert (await house.client.get("/admin/businesses", headers=token)).status_code == 200
    assert (await house.client.get("/admin/businesses", headers=acme.headers)).status_code == 401


@set_up(admin__port="18081")
async def test_the_admin_api_can_have_a_listener_of_its_own(house):
    """Then it is not found here, whoever asks."""
    token = {"Authorization": f"Bearer {ADMIN_TOKEN}"}

    reply = await house.client.get("/admin/businesses", headers=token)

    assert reply.status_code == 404
    assert "a listener of its own" in reply.json()["error"]["message"]


async def test_a_mistake_of_ours_is_told_without_its_text(house, monkeypatch):
    """500 in the envelope; what went wrong is in the log and nowhere else."""
    acme = await house.business()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret is 42")

    monkeypatch.setattr("gateway.portal.credits.iso_of", broken)
    reply = await house.client.get("/v1/credits", headers=acme.headers)

    assert reply.status_code == 500
    assert "42" not in reply.text
    assert json.loads(reply.text)["error"]["code"] == "internal_error"
    assert reply.headers["x-should-retry"] == "false"
