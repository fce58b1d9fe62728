"""Connecting: to nobody, for too long, and over TLS to whom we trust."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx2
import pytest

from gateway.http1 import Http1Transport
from tests.gateway.http1.asking import OK, SILENT_S, a_request, ask
from tests.gateway.raw_server import Caller, RawServer

pytestmark = pytest.mark.anyio

CERTIFICATE = Path(__file__).parents[1] / "localhost.pem"


async def test_unreachable_server_is_an_error_of_connecting(transport: Http1Transport) -> None:
    """Refused, or unknown: nothing was sent."""
    with pytest.raises(httpx2.ConnectError):
        await ask(transport, a_request(None))
    with pytest.raises(httpx2.ConnectError):
        await ask(transport, a_request(None, host="http://no-such-host.invalid/"))
    with pytest.raises(httpx2.UnsupportedProtocol):
        await ask(transport, a_request(None, host="ftp://127.0.0.1/"))


async def test_connecting_takes_no_longer_than_it_may(transport: Http1Transport) -> None:
    """TLS counts as connecting: here the server never shakes hands."""

    async def silent(caller: Caller) -> None:
        await caller.reader.read()

    async with RawServer.talking(silent) as server:
        slow = a_request(None, host=f"https://127.0.0.1:{server.port}/", connect=SILENT_S)
        with pytest.raises(httpx2.ConnectTimeout):
            await ask(transport, slow)


async def test_tls_is_spoken_with_a_server_whose_certificate_is_trusted() -> None:
    """The name is sent along, so that a server with many names knows which one is meant."""
    names: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    tls.sni_callback = lambda _, name, __: names.append(name)
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    transport = Http1Transport(max_connections=4, ssl_context=trusting)

    async def talk(caller: Caller) -> None:
        while await caller.request():
            await caller.says(OK)

    async with RawServer.talking(talk, tls=tls) as server:
        for _ in range(3):
            request = a_request(None, host=f"https://localhost:{server.port}/")
            answer = await ask(transport, request)
        connections = server.connections
        await transport.aclose()

    assert answer == (200, b"ok")
    assert connections == 1
    assert names == ["localhost"]


async def test_tls_server_that_is_not_trusted_gets_nothing(transport: Http1Transport) -> None:
    """The key must not go to whoever answers."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    heard: list[bytes] = []

    async def talk(caller: Caller) -> None:
        heard.append(await caller.request())

    async with RawServer.talking(talk, tls=tls) as server:
        with pytest.raises(httpx2.ConnectError):
            await ask(transport, a_request(None, host=f"https://localhost:{server.port}/"))

    assert not any(heard)
