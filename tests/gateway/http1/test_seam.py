"""The seam: any client of httpx2 can stand on this transport."""

from __future__ import annotations

import zlib

import httpx2
import pytest

from gateway.http1 import Http1Transport
from tests.gateway.raw_server import RawServer

pytestmark = pytest.mark.anyio


async def test_stock_client_can_use_it(transport: Http1Transport) -> None:
    """It is a transport like any other: httpx2's client unpacks and reads as ever."""
    packed = zlib.compress(b"hello")
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\ncontent-length: %d\r\n\r\n"
    async with (
        RawServer.answering(head % len(packed) + packed) as server,
        httpx2.AsyncClient(transport=transport) as client,
    ):
        response = await client.post(f"http://127.0.0.1:{server.port}/", json={"a": 1})

    assert response.text == "hello"
    assert server.requests[0].endswith(b'{"a":1}')
