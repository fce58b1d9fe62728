"""How these tests ask the transport: a request, its time limits, and what came back."""

from __future__ import annotations

import httpx2

from gateway.http1 import Http1Transport
from tests.gateway.raw_server import RawServer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SILENT_S = 0.05  # For time-outs that a test waits for.
PATIENT = {"connect": 10.0, "pool": 10.0, "read": 10.0, "total": 20.0}


def a_request(
    server: RawServer | None, body: bytes = b"{}", *, host: str = "", **limits: float | None
) -> httpx2.Request:
    """A POST to the server, which waits as long as `limits` say."""
    port = server.port if server else 1
    url = httpx2.URL(host or f"http://127.0.0.1:{port}/v1/x")
    return httpx2.Request(
        "POST",
        url,
        headers=[(b"host", url.netloc)],
        stream=httpx2.ByteStream(body),
        extensions={"timeout": PATIENT | limits},
    )


async def ask(transport: Http1Transport, request: httpx2.Request) -> tuple[int, bytes]:
    """The status and the whole body."""
    response = await transport.handle_async_request(request)
    return response.status_code, b"".join(await chunks_of(response))


async def chunks_of(response: httpx2.Response) -> list[bytes]:
    """The body, as it came."""
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    return [chunk async for chunk in response.stream]
