"""Serves an ASGI app on a port of this process, without signals, logs or waiting."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

CLOSE = "stub.close"
KEEP_ALIVE_S = 75  # Longer than the gateway keeps a connection, so that the two never meet.

Message = Any
Scope = dict[str, Any]
Receive = Callable[[], Any]
Send = Callable[[Message], Any]


class StubProtocol(HttpToolsProtocol):
    """
    uvicorn's HTTP, with a way to close a connection in the middle of a reply.

    It is found in the scope's extensions. What uvicorn says about that is not logged, for
    here it is meant.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.logger = logging.Logger("stub", logging.CRITICAL + 1)
        self.access_log = False

    def on_headers_complete(self) -> None:
        self.scope["extensions"] = {CLOSE: {"now": self.transport.close}}
        super().on_headers_complete()


class StubSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's websockets, without a word about how they end."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.logger = logging.Logger("stub", logging.CRITICAL + 1)


@contextlib.asynccontextmanager
async def serving(app: Any, *, host: str, port: int) -> AsyncIterator[str]:
    """
    Serve `app`; gives the origin, as in "http://127.0.0.1:40123".

    Args:
        port: 0 lets the system choose.

    At the end what still runs is cut: nobody is left who could wait for it.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=StubProtocol,
        ws=StubSocketProtocol,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    config.load()
    server = uvicorn.Server(config)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: StubProtocol(config=config, server_state=server.server_state, app_state={}),
        host,
        port,
        backlog=2048,
    )
    try:
        number = listener.sockets[0].getsockname()[1]
        yield f"http://{f'[{host}]' if ':' in host else host}:{number}"
    finally:
        listener.close()
        await _cut(server)


def close_connection(scope: Scope) -> None:
    """Close the connection of this call when what was sent has gone out, and send no more."""
    scope["extensions"][CLOSE]["now"]()


async def _cut(server: uvicorn.Server) -> None:
    # Both kinds of connection are among them, whatever uvicorn's types say.
    connections: set[Any] = set(server.server_state.connections)
    for connection in connections:
        assert isinstance(connection, (StubProtocol, StubSocketProtocol))
        connection.transport.abort()
    tasks = list(server.server_state.tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
