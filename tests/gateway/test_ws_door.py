"""Who may open a websocket: everything that can be refused is refused before it is accepted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from gateway import ws_door
from metering.money import Credits
from storage import keys
from tests.gateway.raw_caller import request, sends
from tests.gateway.ws_caller import REALTIME, line, price_of, refused, switch_on
from tests.house import ADMIN_TOKEN, MODEL, OUR_KEY, House
from tests.one_house import set_up, with_scopes

pytestmark = pytest.mark.anyio

RESPONSES = "/v1/responses"
PATH = f"/v1/realtime?model={REALTIME}"
PATHS = pytest.mark.parametrize("path", [RESPONSES, PATH])
KEY_PROTOCOL = "openai-insecure-api-key."


@PATHS
async def test_every_wrong_credential_is_refused(house: House, path: str) -> None:
    """401 in the envelope, whichever way the key comes, and OpenAI is not asked."""
    switch_on(house, "realtime")
    acme = await house.business()
    revoked = await with_scopes(acme)
    async with house.database.write() as connection:
        holder = await keys.find(connection, keys.digest_of(revoked.key))
        assert holder is not None
        await keys.revoke(connection, holder.key_id, at=datetime.now(UTC))

    for key in (None, "", "gw-short", acme.key[:-1], f"{acme.key}x", OUR_KEY, ADMIN_TOKEN,
                "gw-" + "a" * 43, revoked.key):  # fmt: skip
        status, error = await refused(house, path, key)
        assert (status, error["code"]) == (401, "invalid_api_key")
    for key in ("gw-" + "a" * 43, OUR_KEY, revoked.key, ""):
        offers = ["realtime", KEY_PROTOCOL + key]
        status, error = await refused(house, path, None, subprotocols=offers)
        assert (status, error["code"]) == (401, "invalid_api_key")
    status, error = await refused(house, path, acme.key, subprotocols=[KEY_PROTOCOL + acme.key])
    assert status == 401
    assert house.openai.requests == []


@PATHS
async def test_a_browser_brings_its_key_as_a_subprotocol(house: House, path: str, access_log):
    """The key is neither passed on, nor answered, nor written down."""
    switch_on(house, "realtime")
    acme = await house.business()
    offers = ["realtime", KEY_PROTOCOL + acme.key, "openai-beta.realtime-v1"]

    async with line(house, path, None, subprotocols=offers) as caller:
        await caller.say("response.create", **({} if path == PATH else body()))
        await caller.until("response.done", "response.completed")
        answer = caller.socket.response
        assert answer is not None
        chosen, told = caller.socket.subprotocol, str(answer.headers)

    socket = await house.openai.socket()
    asked = b" ".join(value for _, value in socket.headers).decode() + socket.query
    assert chosen == "realtime"
    assert socket.header(b"authorization") == f"Bearer {OUR_KEY}".encode()
    assert socket.header(b"openai-beta") == b"realtime=v1"
    assert socket.header(b"sec-websocket-protocol") == b""
    await acme.transactions()
    for text in (asked, told, access_log(), str(socket.frames)):
        assert acme.key not in text


async def test_only_headers_of_the_list_go_to_openai(house: House) -> None:
    """What a handshake may say to OpenAI is on a list; a value that is not known is left out."""
    acme = await house.business()
    headers = {
        "OpenAI-Beta": "responses_websockets=2026-02-06, agents=v1",
        "OpenAI-Organization": "org-x",
        "OpenAI-Project": "proj_x",
        "Cookie": "a=b",
        "X-Forwarded-For": "10.0.0.1",
        "X-Api-Key": "secret",
        "Origin": "https://example.com",
        "User-Agent": "theirs",
        "X-User": "ada",
    }

    async with line(house, RESPONSES, acme.key, headers=headers) as caller:
        await caller.say("response.create", **body())
        await caller.until("response.completed")

    socket = await house.openai.socket()
    assert {name for name, _ in socket.headers} == {
        b"host", b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version",
        b"authorization", b"x-client-request-id", b"openai-beta", b"user-agent",
    }  # fmt: skip
    assert socket.header(b"openai-beta") == b"responses_websockets=2026-02-06"
    assert socket.header(b"user-agent") == b"credit-gateway"
    (row,) = await acme.transactions()
    assert row.user == "ada"


async def test_what_is_not_allowed_is_refused(house: House) -> None:
    """Switched off, outside the key's scopes, an unknown model, another kind of session."""
    acme = await house.business()
    narrow = await with_scopes(acme, endpoints=frozenset({"chat.completions"}))
    other = await with_scopes(acme, models=frozenset({MODEL}))

    assert (await refused(house, PATH, acme.key))[0] == 403
    switch_on(house, "realtime")
    house.parts.loops.authenticate._known.clear()
    found = [
        await refused(house, path, key)
        for path, key in (
            (RESPONSES, narrow.key),
            (PATH, narrow.key),
            (PATH, other.key),
            ("/v1/realtime?model=gpt-unknown", acme.key),
            (f"/v1/realtime?model={MODEL}", acme.key),
            ("/v1/realtime", acme.key),
            (f"{PATH}&model=gpt-realtime-mini", acme.key),
            (f"{PATH}&api-version=1", acme.key),
            (f"{RESPONSES}?model={MODEL}", acme.key),
            (f"{PATH}&call_id=rtc_1", acme.key),
            ("/v1/realtime?intent=transcription", acme.key),
        )
    ]

    assert [(status, error["code"]) for status, error in found] == [
        (403, "endpoint_not_allowed"),
        (403, "endpoint_not_allowed"),
        (403, "model_not_allowed"),
        (400, "model_not_priced"),
        (400, "model_not_priced"),
        (400, "invalid_request"),
        (400, "invalid_request"),
        (400, "invalid_request"),
        (400, "invalid_request"),
        (426, "upgrade_refused"),
        (426, "upgrade_refused"),
    ]
    assert house.openai.requests == []


@PATHS
async def test_without_credits_nobody_is_let_in(house: House, path: str) -> None:
    """402 before it is accepted."""
    switch_on(house, "realtime")
    acme = await house.business("0")

    status, error = await refused(house, path, acme.key)

    assert (status, error["code"]) == (402, "insufficient_credits")
    assert house.openai.requests == []


@PATHS
async def test_a_business_has_so_many_websockets(house: House, path: str, monkeypatch) -> None:
    """One more is refused with 429, and let in when another one is closed."""
    switch_on(house, "realtime")
    monkeypatch.setattr(ws_door, "OF_A_BUSINESS_MOST", 2)
    acme, other = await house.business(), await house.business(name="Other")

    async with line(house, path, acme.key), line(house, path, acme.key):
        status, error = await refused(house, path, acme.key)
        async with line(house, path, other.key):
            pass
    while house.parts.doors._sockets._open:
        await asyncio.sleep(0.001)
    async with line(house, path, acme.key):
        pass

    assert (status, error["code"]) == (429, "rate_limit_exceeded")


@set_up(openai__base_url="http://127.0.0.1:9/v1")
async def test_without_openai_nobody_is_let_in(house: House) -> None:
    """502 before it is accepted: OpenAI is connected first."""
    acme = await house.business()

    status, error = await refused(house, RESPONSES, acme.key)

    assert (status, error["code"]) == (502, "upstream_error")


@set_up(openai__api_key="sk-another-key-0123456789")
async def test_a_key_of_ours_that_openai_refuses_is_not_the_callers_fault(house: House) -> None:
    """502 upstream_auth_error, and not a word of OpenAI's text, which names our key."""
    acme = await house.business()

    status, error = await refused(house, RESPONSES, acme.key)

    assert (status, error["code"]) == (502, "upstream_auth_error")
    assert "sk-" not in str(error)


async def test_a_handshake_that_cannot_be_read_is_answered_in_the_envelope(house: House) -> None:
    """No key, a wrong version, a header longer than the websocket's parser takes."""
    acme = await house.business()
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    for more in (
        ("Sec-WebSocket-Version: 13",),
        ("Sec-WebSocket-Version: 7", key),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"),
        ("Sec-WebSocket-Version: 13", key, "X-Long: " + "a" * 9000),
        ("Sec-WebSocket-Version: 13", key, *(f"X-{number}: a" for number in range(130))),
    ):
        ours = (f"Authorization: Bearer {acme.key}", "Upgrade: websocket", *more)
        raw = request("GET", RESPONSES, *ours)
        answer = await sends(house, raw.replace(b"Connection: close", b"Connection: Upgrade"))

        assert answer.status == 400, more
        assert answer.error["type"] == "invalid_request_error"
    assert house.openai.requests == []


async def test_a_revoked_key_ends_its_websocket_at_the_next_response(house: House) -> None:
    """An open websocket is no way around a revocation: 1008 after an event that says why."""
    acme = await house.business()
    second = await with_scopes(acme)

    async with line(house, RESPONSES, second.key) as caller:
        await caller.say("response.create", **body())
        await caller.until("response.completed")
        async with house.database.write() as connection:
            holder = await keys.find(connection, keys.digest_of(second.key))
            assert holder is not None
            await keys.revoke(connection, holder.key_id, at=datetime.now(UTC))
        house.parts.loops.authenticate.forget(keys.digest_of(second.key))
        await caller.say("response.create", **body())
        told = await caller.until("error")
        code = await caller.ended()

    assert (code, told["error"]["code"]) == (1008, "invalid_api_key")
    assert len((await house.openai.socket()).frames) == 1


async def test_two_businesses_pay_for_their_own(house: House) -> None:
    """Side by side, each for what it asked, and neither continues what the other was told."""
    acme, other = await house.business(), await house.business(name="Other")

    async with line(house, RESPONSES, acme.key) as one, line(house, RESPONSES, other.key) as two:
        await one.say("response.create", **body("Hello"))
        await two.say("response.create", **body("A longer question than the other one's"))
        made = await one.until("response.completed")
        await two.until("response.completed")
        await two.say("response.create", **body(), previous_response_id=made["response"]["id"])
        told = await two.until("error")

    assert told["error"]["code"] == "previous_response_not_found"
    ours = {bill.transaction: price_of(house, bill) for bill in house.openai.billed}
    for business, caller in ((acme, one), (other, two)):
        (row,) = await business.transactions()
        done = next(e for e in caller.events if e["type"] == "response.completed")
        assert row.credits_used == ours[done["response"]["id"]]
        assert await business.held() == Credits(0)


def body(text: str = "Hello") -> dict[str, str]:
    """The fields of a response."""
    return {"model": MODEL, "input": text}
