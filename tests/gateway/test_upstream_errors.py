"""How a call to OpenAI fails: whether it may have been seen, and what is never told."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator

import httpx2
import pytest

from gateway.dev.stub_openai import StubOpenAI
from gateway.upstream_errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tests.gateway.raw_server import RawServer
from tests.gateway.upstreams import CALL, KEY, an_upstream, answering

pytestmark = pytest.mark.anyio


@pytest.fixture
async def openai() -> AsyncIterator[StubOpenAI]:
    """A stub that listens."""
    async with StubOpenAI.serving(api_key=KEY) as stub:
        yield stub


@pytest.mark.parametrize(
    ("failure", "told", "sent"),
    [
        (httpx2.ConnectError("refused"), UpstreamUnreachable, False),
        (httpx2.ConnectTimeout("slow"), UpstreamUnreachable, False),
        (httpx2.PoolTimeout("full"), UpstreamUnreachable, False),
        (httpx2.UnsupportedProtocol("ftp"), UpstreamUnreachable, False),
        (httpx2.ReadTimeout("slow"), UpstreamTimeout, True),
        (httpx2.WriteTimeout("slow"), UpstreamTimeout, True),
        (httpx2.ReadError("reset"), UpstreamBroken, True),
        (httpx2.WriteError("reset"), UpstreamBroken, True),
        (httpx2.RemoteProtocolError("garbage"), UpstreamBroken, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_failure_says_whether_openai_may_have_seen_the_call(
    failure: httpx2.TransportError, told: type[UpstreamError], sent: bool
) -> None:
    """In doubt it may have: only what never left us may be asked again."""

    def fails(_: httpx2.Request) -> httpx2.Response:
        raise failure

    upstream = answering(fails)
    with pytest.raises(told) as caught:
        await upstream.open(upstream.endpoint("POST", "/x"), CALL, transaction_id="t-1")

    assert caught.value.sent is sent


async def test_packed_reply_is_broken() -> None:
    """We asked for it as it is; what is packed cannot be metered while it passes."""
    reply = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x8b"
    async with RawServer.answering(reply) as server:
        upstream = an_upstream(f"http://127.0.0.1:{server.port}")
        with pytest.raises(UpstreamBroken, match="packed"):
            await upstream.open(upstream.endpoint("POST", "/x"), CALL, transaction_id="t-1")
        await upstream.close()


async def test_openai_that_never_answers_is_too_slow(openai: StubOpenAI) -> None:
    """The time to the first byte is limited."""
    upstream = an_upstream(openai.base_url, first_byte_timeout_s=0.05)
    openai.hangs()

    with pytest.raises(UpstreamTimeout, match=r"0\.05 s"):
        await upstream.open(
            upstream.endpoint("POST", "/chat/completions"), CALL, transaction_id="t-1"
        )
    await upstream.close()


async def test_key_is_in_no_repr_error_or_traceback(openai: StubOpenAI) -> None:
    """Not even in one that shows every local variable, as development servers do."""
    upstream = an_upstream(openai.base_url, first_byte_timeout_s=0.05)
    chat = upstream.endpoint("POST", "/chat/completions")
    openai.hangs()

    with pytest.raises(UpstreamTimeout) as caught:
        await upstream.open(chat, CALL, transaction_id="t-1")
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    await upstream.close()

    assert KEY not in "".join(told.format())
    assert KEY not in repr((upstream, chat, caught.value))
