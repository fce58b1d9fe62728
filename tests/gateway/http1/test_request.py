"""What is written: the request as it was given, and nothing else."""

from __future__ import annotations

import random

import httpx2
import pytest

from gateway.http1 import Http1Transport
from tests.gateway.http1.asking import OK, a_request, ask
from tests.gateway.raw_server import RawServer

pytestmark = pytest.mark.anyio


async def test_request_goes_out_as_it_was_given(transport: Http1Transport) -> None:
    """Target, headers and body, and nothing that was not asked for."""
    async with RawServer.answering(OK) as server:
        request = a_request(server, b'{"a":1}')
        request.headers["x-b"] = "c"
        await ask(transport, request)

    assert server.requests == [
        b"POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nx-b: c\r\n"
        b'content-length: 7\r\n\r\n{"a":1}' % server.port
    ]


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0b"])
async def test_header_with_a_line_break_is_refused(transport: Http1Transport, value: str) -> None:
    """Nobody can add a header, or a request, by way of a header's value."""
    async with RawServer.answering(OK) as server:
        request = a_request(server)
        request.headers["x-a"] = value
        with pytest.raises(httpx2.LocalProtocolError):
            await ask(transport, request)

    assert server.connections == 0


async def test_large_body_arrives_whole(transport: Http1Transport) -> None:
    """A body larger than every buffer on the way."""
    body = random.Random(7).randbytes(8_000_000)
    async with RawServer.answering(OK) as server:
        await ask(transport, a_request(server, body))

    assert server.requests[0].endswith(body)
