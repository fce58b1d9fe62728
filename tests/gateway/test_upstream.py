"""The one HTTP client to OpenAI: what it sends and what it lets through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from gateway.dev.stub_openai import StubOpenAI
from gateway.upstream import Upstream, UpstreamReply
from gateway.upstream_errors import UpstreamBroken
from gateway.upstream_headers import reply_headers
from tests.gateway.upstreams import CALL, KEY, STREAM, an_upstream, answering

pytestmark = pytest.mark.anyio


@pytest.fixture
async def openai() -> AsyncIterator[StubOpenAI]:
    """A stub that listens."""
    async with StubOpenAI.serving(api_key=KEY) as stub:
        yield stub


@pytest.fixture
async def upstream(openai: StubOpenAI) -> AsyncIterator[Upstream]:
    """Our way to it."""
    upstream = an_upstream(openai.base_url)
    yield upstream
    await upstream.close()


async def test_call_reaches_openai_with_our_key_and_nothing_else(
    openai: StubOpenAI, upstream: Upstream
) -> None:
    """Every header is ours, so none of the caller's can choose another account."""
    chat = upstream.endpoint("POST", "/chat/completions")

    async with await upstream.open(chat, CALL, transaction_id="t-1") as reply:
        await reply.read(100_000)

    request = openai.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.body == CALL
    assert dict(request.headers) == {
        b"host": openai.base_url.removeprefix("http://").removesuffix("/v1").encode(),
        b"authorization": b"Bearer " + KEY.encode(),
        b"user-agent": b"credit-gateway",
        b"accept": b"application/json, text/event-stream",
        b"accept-encoding": b"identity",
        b"content-type": b"application/json",
        b"x-client-request-id": b"t-1",
        b"content-length": b"%d" % len(CALL),
    }


async def test_reply_is_given_as_it_is(openai: StubOpenAI, upstream: Upstream) -> None:
    """An error is an answer too, and a redirect is not followed: it would carry the key."""
    chat = upstream.endpoint("POST", "/chat/completions")
    openai.fails(307, {"moved": True}, {"Location": "http://127.0.0.1:1/"}, times=1)
    openai.fails(429, {"slow": "down"}, {"Retry-After": "7"}, times=1)

    async with await upstream.open(chat, CALL, transaction_id="t-1") as reply:
        moved = (reply.status, await reply.read(1000))
    async with await upstream.open(chat, CALL, transaction_id="t-2") as reply:
        slow = (reply.status, await reply.read(1000), reply.header(b"retry-after"))

    assert moved == (307, b'{"moved": true}')
    assert slow == (429, b'{"slow": "down"}', b"7")
    assert len(openai.requests) == 2


async def test_stream_is_read_chunk_by_chunk(openai: StubOpenAI, upstream: Upstream) -> None:
    """Each event is there before the next one is sent."""
    chat = upstream.endpoint("POST", "/chat/completions")
    openai.streams("Once", " upon", " a", " time")

    async with await upstream.open(chat, STREAM, transaction_id="t-1") as reply:
        body = b"".join([chunk async for chunk in reply.chunks()])

    assert reply.header(b"content-type").startswith(b"text/event-stream")
    assert body.count(b"data: ") == 7
    assert body.endswith(b"data: [DONE]\n\n")


async def test_caller_sees_only_the_headers_on_the_list(
    openai: StubOpenAI, upstream: Upstream
) -> None:
    """No cookie, no organization, no rate limit of the account that all share."""
    chat = upstream.endpoint("POST", "/chat/completions")
    openai.fails(500, {}, {"Connection": "x-should-retry", "X-Should-Retry": "true"}, times=1)

    async with await upstream.open(chat, CALL, transaction_id="t-1") as tied:
        pass
    async with await upstream.open(chat, CALL, transaction_id="t-2") as reply:
        pass

    assert {name for name, _ in reply_headers(reply)} == {
        b"content-type",
        b"openai-processing-ms",
        b"openai-version",
        b"x-request-id",
    }
    assert b"x-should-retry" in dict(tied.headers)
    assert b"x-should-retry" not in dict(reply_headers(tied))


async def test_header_of_two_lines_is_not_passed_on() -> None:
    """Whatever transport it came from, it cannot end our own head early."""
    upstream = answering(
        lambda _: httpx2.Response(200, headers=[(b"x-request-id", b"a\r\nx-evil: 1")])
    )

    reply = await upstream.open(upstream.endpoint("POST", "/x"), b"", transaction_id="t-1")

    assert reply_headers(reply) == []


async def test_reply_longer_than_it_may_be_is_broken(
    openai: StubOpenAI, upstream: Upstream
) -> None:
    """It is cut, not held in memory."""
    chat = upstream.endpoint("POST", "/chat/completions")
    openai.says("long " * 100_000)

    async with await upstream.open(chat, CALL, transaction_id="t-1") as reply:
        with pytest.raises(UpstreamBroken, match="longer than the 1000 bytes"):
            await reply.read(1000)

    assert upstream.transport.active == 0  # type: ignore[attr-defined]


async def test_reply_that_ends_early_is_broken(openai: StubOpenAI, upstream: Upstream) -> None:
    """What came before can be read."""
    chat = upstream.endpoint("POST", "/chat/completions")
    openai.streams("Once", " upon")
    openai.breaks_after(chunks=1)
    seen: list[bytes] = []

    async def read_on(reply: UpstreamReply) -> None:
        async for chunk in reply.chunks():
            seen.append(chunk)

    async with await upstream.open(chat, STREAM, transaction_id="t-1") as reply:
        with pytest.raises(UpstreamBroken):
            await read_on(reply)

    assert b'"Once"' in b"".join(seen)
    assert b'" upon"' not in b"".join(seen)


@pytest.mark.parametrize(
    ("base_url", "key"),
    [
        ("openai.com/v1", KEY),
        ("ftp://api.openai.com/v1", KEY),
        ("https://user:secret@api.openai.com/v1", KEY),
        ("https://api.openai.com/v1?key=1", KEY),
        ("https://api.openai.com/v1", ""),
        ("https://api.openai.com/v1", "sk-1\r\nx-evil: 1"),
        ("https://api.openai.com/v1", "sk-ключ"),
    ],
)
def test_wrong_address_or_key_is_refused_at_the_start(base_url: str, key: str) -> None:
    """The error does not repeat the key."""
    with pytest.raises(ValueError, match="must") as caught:
        Upstream(
            base_url,
            key,
            connect_timeout_s=1,
            first_byte_timeout_s=1,
            total_timeout_s=1,
            max_connections=1,
        )

    assert not key or key not in str(caught.value)


async def test_transaction_id_cannot_add_a_header(upstream: Upstream) -> None:
    """It is ours, and is checked all the same."""
    with pytest.raises(ValueError, match="transaction id"):
        await upstream.open(
            upstream.endpoint("POST", "/chat/completions"), CALL, transaction_id="a\r\nb: c"
        )


async def test_environment_has_no_say(
    openai: StubOpenAI, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment would be given the key."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async with await upstream.open(
        upstream.endpoint("GET", "/models"), b"", transaction_id="t-1"
    ) as reply:
        status = reply.status

    assert status == 200
    assert openai.requests[0].header(b"cookie") == b""


async def test_respx_can_stand_in_for_the_network() -> None:
    """The seam is httpx2's: what is known of mocking it holds here."""
    from respx import MockRouter

    router = MockRouter()
    router.post("http://openai.test/v1/x", json={"a": 1}).respond(201, json={"b": 2})
    # Its types are httpx's, which stand for httpx2's here.
    handler: Any = router.async_handler
    upstream = an_upstream("http://openai.test/v1/", transport=httpx2.MockTransport(handler))

    async with await upstream.open(
        upstream.endpoint("POST", "/x"), b'{"a":1}', transaction_id="t-1"
    ) as reply:
        body = await reply.read(100)

    assert (reply.status, body) == (201, b'{"b":2}')
