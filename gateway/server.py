"""Runs the gateway on a port: one process or several, and a graceful stop that exits 0."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from gateway import __version__, logs
from gateway.app import Gateway, recording
from gateway.metrics_shared import shared_directory
from gateway.server_protocol import Protocol
from gateway.settings import Settings, unused
from gateway.upstream_socket import PING_S
from gateway.ws_protocol import SocketProtocol

log = logging.getLogger(__name__)

CONFIG_VARIABLE = "GATEWAY_CONFIG"  # How a worker process learns of the file.
METRICS_VARIABLE = "GATEWAY_METRICS_DIR"  # And where the workers add up their metrics.
GRACE_S = 60  # Calls that run at SIGTERM may end within it; then they are cut and settled.
KEEP_ALIVE_S = 75
STARTED_PROBE_S = 0.01  # uvicorn has no event for it.


class PortInUse(Exception):
    """Something else listens there already."""


class WorkerNotStarted(Exception):
    """One of several workers did not start, so none serves."""


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
    if not_used := unused(settings):
        log.warning("settings_not_used_by_this_version", extra={"keys": not_used})
    if not settings.recorder.in_workers:
        log.warning("calls_are_recorded_elsewhere", extra={"by": "gateway recorder"})
    listener = listen(settings.server.host, settings.server.port)
    if workers == 1:
        gateway = Gateway(settings, data_dir=_data_dir(settings))
        run_loop(run(gateway, settings, listener))
        return
    # What stops a start is found here, where it can be said, and not in each worker.
    run_loop(_tried(Gateway(settings)))
    if config_path is not None:
        os.environ[CONFIG_VARIABLE] = str(config_path)
    os.environ["GATEWAY__SERVER__WORKERS"] = str(workers)
    workers_config = config("gateway.server:worker", workers=workers, factory=True, lifespan="on")
    _say_where(listener)
    supervisor = Multiprocess(workers_config, sockets=[listener])
    with shared_directory() as metrics:
        os.environ[METRICS_VARIABLE] = str(metrics)
        supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise WorkerNotStarted("a worker did not start; its log says why")


async def _tried(gateway: Gateway) -> None:
    async with gateway.running():
        pass


def record(settings: Settings) -> None:
    """
    Record calls and apply credits until SIGTERM or SIGINT, and serve nobody.

    Raises:
        SchemaOutdated, LedgerUnavailable, RecordsUnavailable: It cannot, as it is set up.
    """
    logs.set_up()
    run_loop(_record(settings))


async def _record(settings: Settings) -> None:
    told_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
    async with recording(settings):
        log.info("recording", extra={"version": __version__})
        await told_to_stop.wait()


def worker() -> Worker:
    """The app of one of several worker processes."""
    logs.set_up()
    path = os.environ.get(CONFIG_VARIABLE)
    settings = Settings.load(Path(path) if path else None, os.environ)
    metrics = os.environ.get(METRICS_VARIABLE)
    return Worker(Gateway(settings, metrics_dir=Path(metrics) if metrics else None), settings)


class Worker:
    """A gateway that lives as long as its worker process: ASGI's lifespan tells it."""

    def __init__(self, gateway: Gateway, settings: Settings) -> None:
        self._gateway = gateway
        self._settings = settings

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._gateway(scope, receive, send)
            return
        await receive()
        async with self._gateway.running(), _admin_listener(self._gateway, self._settings):
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


# Python looks for circles among young objects after every 700 of them. A call makes
# hundreds and leaves no circle, and with 2,000 in flight each look finds all of them alive.
GARBAGE_LOOKED_FOR_EVERY = (20_000, 20, 100)


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run an event loop: uvloop where there is one, which costs half as much."""
    gc.set_threshold(*GARBAGE_LOOKED_FOR_EVERY)
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
        server = Server(config(gateway))
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(STARTED_PROBE_S)
        async with _admin_listener(gateway, settings):
            if when_ready is not None:
                await when_ready()
            _say_where(listener)
            await serving


def _say_where(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    log.info("serving", extra={"host": host, "port": port, "version": __version__})


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """
    A socket that listens.

    Args:
        shared: Other processes of ours may listen there too.

    Raises:
        PortInUse: Names the address, and what helps.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's delay off: a head and its body are two
    # writes, and the second would wait 40 ms for the first to be acknowledged.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
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

    server = Server(config(app, ws="none"))
    shared = settings.server.workers > 1
    listener = listen(admin.host or settings.server.host, admin.port, shared=shared)
    # Its serve() would take the signals away from the main listener.
    serving = asyncio.ensure_future(server._serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def config(app: object, **more: object) -> uvicorn.Config:
    """How uvicorn is to serve: httptools, our websockets, no words of its own in a reply."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=Protocol,
        ws=more.pop("ws", SocketProtocol),  # type: ignore[arg-type]
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        lifespan=more.pop("lifespan", "off"),  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        **more,  # type: ignore[arg-type]
    )
