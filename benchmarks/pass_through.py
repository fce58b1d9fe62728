"""
What forwarding alone costs: the gateway's server and its way to OpenAI, and nothing between.

    python -m benchmarks.pass_through PORT UPSTREAM
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn

from gateway.server import config
from gateway.upstream import Upstream
from gateway.upstream_headers import reply_headers
from storage.ids import new_id


class PassThrough:
    """A raw ASGI app: reads a body, sends it on with our key, passes the reply back."""

    def __init__(self, base_url: str) -> None:
        self._upstream = Upstream(
            base_url,
            "sk-of-the-benchmark",
            connect_timeout_s=30,
            first_byte_timeout_s=60,
            total_timeout_s=60,
            max_connections=4000,
        )
        self._endpoint = self._upstream.endpoint("POST", "/chat/completions")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        async with await self._upstream.open(
            self._endpoint, body, transaction_id=new_id()
        ) as reply:
            headers = reply_headers(reply)
            streams = reply.header(b"content-type").startswith(b"text/event-stream")
            if not streams:
                whole = await reply.read(1 << 20)
                headers.append((b"content-length", b"%d" % len(whole)))
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            if streams:
                whole = b""
                async for chunk in reply.chunks():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": whole})


if __name__ == "__main__":
    app = PassThrough(sys.argv[2])
    settings = config(app, lifespan="off", host="127.0.0.1", port=int(sys.argv[1]))
    uvicorn.Server(settings).run()
