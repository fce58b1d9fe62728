"""Runs the gateway on a port: one process or several, and a graceful stop that exits 0."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from gateway import logs
from gateway.app import Gateway
from gateway.settings import Settings

CONFIG_VARIABLE = "GATEWAY_CONFIG"  # How a worker process learns of the file.
GRACE_S = 60  # Calls that run at SIGTERM may end within it; then they are cut and settled.
KEEP_ALIVE_S = 75
STARTED_PROBE_S = 0.01  # uvicorn has no event for it.


class PortInUse(Exception):
    """Something else listens there already."""


class Server(uvicorn.Server):
    """uvicorn's server, whose process ends with 0 after a signal that asked it to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The same without raising the signal again once everything is settled."""
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(settings: Settings, *, workers: int, config_path: Path | None) -> None:
    """
    Serve until SIGTERM or SIGINT.

    Raises:
        PortInUse: Something listens there already.
        SchemaOutdated, LedgerUnavailable, RecordsUnavailable, MeteringError: The gateway
            cannot serve as it is set up.
    """
    logs.set_up()
    listener = listen(settings.server.host, settings.server.port)
    if workers == 1:
        gateway = Gateway(settings, data_dir=_data_dir(settings))
        run_loop(run(gateway, settings, listener))
        return
    if config_path is not None:
        os.environ[CONFIG_VARIABLE] = str(config_path)
    workers_config = config("gateway.server:worker", workers=workers, factory=True)
    Multiprocess(workers_config, sockets=[listener]).run()


def worker() -> Gateway:
    """The app of one of several worker processes."""
    logs.set_up()
    path = os.environ.get(CONFIG_VARIABLE)
    return Gateway(Settings.load(Path(path) if path else None, os.environ))


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run an event loop: uvloop where there is one, which costs half as much."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


async def run(
    gateway: Gateway,
    settings: Settings,
    listener: socket.socket,
    *,
    when_ready: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """
    Serve one process on a socket that listens already.

    Args:
        when_ready: Awaited once calls are served.

    Raises:
        SchemaOutdated, LedgerUnavailable, RecordsUnavailable, MeteringError: As
            `Gateway.running`; nothing was served then.
    """
    async with gateway.running():
        server = Server(config(gateway, lifespan="off"))
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(STARTED_PROBE_S)
        async with _admin_listener(gateway, settings):
            if when_ready is not None:
                await when_ready()
            await serving


def listen(host: str, port: int) -> socket.socket:
    """
    A socket that listens.

    Raises:
        PortInUse: Names the address, and what helps.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortInUse(
            f"{host}:{port} cannot be listened on ({error.strerror}); "
            "stop what uses it, or choose another with --port or server.port"
        ) from error
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener


def _data_dir(settings: Settings) -> Path:
    """Where an embedded Valkey lives: beside the SQLite file, else in the working directory."""
    url = settings.sql.url.get_secret_value() if settings.sql.url else ""
    if settings.sql.sqlite:
        return Path(url.partition("///")[2]).absolute().parent
    return Path.cwd()


@contextlib.asynccontextmanager
async def _admin_listener(gateway: Gateway, settings: Settings) -> AsyncIterator[None]:
    """The admin API on an address of its own, where one is set."""
    admin = settings.admin
    if admin.port is None:
        yield
        return

    async def app(scope: object, receive: object, send: object) -> None:
        assert gateway.parts is not None, "the admin listener opens after the start"
        await gateway.parts.admin(scope, receive, send)  # type: ignore[arg-type]

    server = Server(config(app, lifespan="off"))
    listener = listen(admin.host or settings.server.host, admin.port)
    # Its serve() would take the signals away from the main listener.
    serving = asyncio.ensure_future(server._serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def config(app: object, **more: object) -> uvicorn.Config:
    """How uvicorn is to serve: httptools, no websockets, no words of its own in a reply."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http="httptools",
        ws="none",
        lifespan=more.pop("lifespan", "on"),  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        **more,  # type: ignore[arg-type]
    )
