"""The embedded store keeps what it was told, and ends with its gateway."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.dev import embedded
from gateway.dev.data_dir import Lock, socket_in
from gateway.dev.embedded import (
    DataDirBusy,
    DataDirError,
    EmbeddedStore,
    StoreNotFound,
    StoreNotStarted,
    find_running,
)
from tests import engines

pytestmark = pytest.mark.anyio

RUN_THE_STORE = """
import asyncio, pathlib, sys
from gateway.dev import embedded

async def main():
    async with embedded.EmbeddedStore.running(pathlib.Path(sys.argv[1])) as store:
        print(store.process.pid, flush=True)
        await asyncio.to_thread(sys.stdin.read)

if "as an orphan" in sys.argv:
    embedded.death_signal = lambda number: None
asyncio.run(main())
"""


class OtherGateway:
    """Another process that runs the store of a data directory."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.store_pid = int(process.stdout.readline())

    def kill(self) -> None:
        """`kill -9`, with no chance to stop its store."""
        self.process.kill()
        self.process.wait()


@asynccontextmanager
async def other_gateway(data_dir: Path, *words: str) -> AsyncIterator[OtherGateway]:
    """Run the store of a data directory in a process of its own."""
    command = [sys.executable, "-c", RUN_THE_STORE, str(data_dir), *words]
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, env=os.environ | path
    ) as process:
        yield await asyncio.to_thread(OtherGateway, process)
        process.kill()


async def add(url: str, amount: int) -> int:
    """Add to a counter; its new value."""
    async with Redis.from_url(url) as client:
        return int(await client.incrby("counter", amount))


def is_free(data_dir: Path) -> bool:
    """Whether no store lives on the data directory."""
    with Lock(data_dir / "valkey.lock") as lock:
        return lock.take()


async def until_free(data_dir: Path) -> None:
    """Wait until the store of the data directory has ended."""
    async with asyncio.timeout(20):
        while not is_free(data_dir):
            await asyncio.sleep(0.01)


async def test_store_is_a_valkey_that_syncs_every_write(tmp_path: Path) -> None:
    """What it acknowledged is on disk, nothing is ever evicted, and only we may connect."""
    async with EmbeddedStore.running(tmp_path) as store, Redis.from_url(store.url) as client:
        settings = await client.config_get("append*", "maxmemory-policy", "port", "save")
        mode = stat.S_IMODE(store.socket.stat().st_mode)

    assert store.version == "Valkey 9.1.2"
    assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "always")
    assert settings["maxmemory-policy"] == "noeviction"
    assert (settings["port"], settings["save"]) == ("0", "")
    assert mode == 0o700


async def test_data_is_kept_between_starts(tmp_path: Path) -> None:
    """The state of `gateway dev` outlives it."""
    for expected in (7, 14):
        async with EmbeddedStore.running(tmp_path) as store:
            assert await add(store.url, 7) == expected


async def test_files_are_for_us_alone(tmp_path: Path) -> None:
    """Balances are nobody else's business."""
    async with EmbeddedStore.running(tmp_path / "data") as store:
        await add(store.url, 1)

    found = [tmp_path / "data", *(tmp_path / "data" / "valkey").rglob("*")]
    assert len(found) > 3
    assert not [path for path in found if path.stat().st_mode & 0o077]


async def test_killed_gateway_leaves_no_orphan_and_loses_nothing(tmp_path: Path) -> None:
    """Three times kill -9 in a row: the counter goes 0 → 7 → 14, and no store is left."""
    for expected in (7, 14, 21):
        async with other_gateway(tmp_path) as gateway:
            url = await find_running(tmp_path)
            assert url is not None
            assert await add(url, 7) == expected

            gateway.kill()
            await until_free(tmp_path)

        assert await find_running(tmp_path) is None


async def test_start_right_after_a_kill_waits_for_the_dying_store(tmp_path: Path) -> None:
    """Two stores never write to one append-only file."""
    for expected in (1, 2, 3):
        async with other_gateway(tmp_path) as gateway:
            gateway.kill()

        async with EmbeddedStore.running(tmp_path) as store:
            assert await add(store.url, 1) == expected


async def test_store_that_outlived_its_gateway_hands_over(tmp_path: Path) -> None:
    """Where the kernel does not end an orphan (macOS), the next start does, and keeps its data."""
    async with other_gateway(tmp_path, "as an orphan") as gateway:
        url = await find_running(tmp_path)
        assert url is not None
        await add(url, 7)
        gateway.kill()
    assert await find_running(tmp_path) == url

    async with EmbeddedStore.running(tmp_path) as store:
        assert store.process.pid != gateway.store_pid
        assert await add(store.url, 7) == 14
    assert is_free(tmp_path)


async def test_store_that_does_not_end_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stuck orphan still holds the files: we refuse to start beside it, and say which it is."""
    monkeypatch.setattr(embedded, "STOP_S", 0.1)
    async with other_gateway(tmp_path, "as an orphan") as gateway:
        os.kill(gateway.store_pid, signal.SIGSTOP)
        gateway.kill()
    try:
        with pytest.raises(StoreNotStarted, match=f"process id {gateway.store_pid}, still runs"):
            async with EmbeddedStore.running(tmp_path):
                pass
    finally:
        os.kill(gateway.store_pid, signal.SIGKILL)
        await until_free(tmp_path)


async def test_killed_store_does_not_hinder_the_next(tmp_path: Path) -> None:
    """The socket it leaves behind is in nobody's way."""
    async with EmbeddedStore.running(tmp_path) as store:
        await add(store.url, 7)
        store.process.kill()
        store.process.wait()

    async with EmbeddedStore.running(tmp_path) as store:
        assert await add(store.url, 7) == 14


async def test_second_gateway_on_a_data_directory_is_refused(tmp_path: Path) -> None:
    """It names the other process, and the first goes on undisturbed."""
    async with EmbeddedStore.running(tmp_path) as store:
        with pytest.raises(DataDirBusy, match=f"process id {os.getpid()}; stop it"):
            async with EmbeddedStore.running(tmp_path):
                pass

        assert await add(store.url, 1) == 1


async def test_ctrl_c_in_the_terminal_is_not_for_the_store(tmp_path: Path) -> None:
    """It must be there while the gateway settles what runs."""
    async with EmbeddedStore.running(tmp_path) as store:
        assert os.getpgid(store.process.pid) != os.getpgid(0)


async def test_secrets_of_the_environment_stay_with_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has no use for our OpenAI key."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-the-store")
    async with EmbeddedStore.running(tmp_path) as store:
        environment = Path(f"/proc/{store.process.pid}/environ").read_bytes()

    assert b"sk-not-for-the-store" not in environment


async def test_long_path_moves_the_socket(tmp_path: Path) -> None:
    """A socket's path has 107 bytes at most; the data stays where it was wanted."""
    data_dir = tmp_path / ("long" * 30)
    async with EmbeddedStore.running(data_dir) as store:
        assert await add(store.url, 7) == 7
        assert await find_running(data_dir) == store.url
        assert not store.socket.is_relative_to(data_dir)
        assert stat.S_IMODE(store.socket.parent.stat().st_mode) == 0o700

    assert not store.socket.parent.exists()
    assert (data_dir / "valkey" / "appendonlydir").is_dir()


async def test_folder_for_a_moved_socket_must_be_ours_alone(tmp_path: Path) -> None:
    """Everybody may write to the temporary folder, and may have been there first."""
    data_dir = tmp_path / ("long" * 30)
    folder = socket_in(data_dir).parent
    folder.mkdir()
    folder.chmod(0o777)
    try:
        with pytest.raises(DataDirError, match="is not ours alone"):
            async with EmbeddedStore.running(data_dir):
                pass
    finally:
        folder.rmdir()


async def test_path_with_signs_of_a_url_works(tmp_path: Path) -> None:
    """A data directory may be called anything."""
    async with EmbeddedStore.running(tmp_path / "50% of what? #1 é") as store:
        assert await add(store.url, 1) == 1


async def test_store_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    """The error says what the store said."""
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "appendonlydir").write_text("a file where a folder belongs")

    with pytest.raises(StoreNotStarted, match="(?s)store ended; its log:.*appendonlydir"):
        async with EmbeddedStore.running(tmp_path):
            pass

    assert is_free(tmp_path)


async def test_without_the_wheel_a_redis_on_path_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One code path; only the binary differs."""
    engines.redis_program()
    monkeypatch.setattr(embedded, "wheel_binary", lambda: None)
    monkeypatch.setattr(embedded, "which", lambda name: _redis_only(name))

    async with EmbeddedStore.running(tmp_path) as store:
        assert store.version.startswith("Redis 7.0.")
        assert await add(store.url, 7) == 7


def _redis_only(name: str) -> str | None:
    return str(engines.redis_program()) if name == "redis-server" else None


def test_without_any_store_the_error_names_both_fixes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install one, or point to one."""
    monkeypatch.setattr(embedded, "wheel_binary", lambda: None)
    monkeypatch.setattr(embedded, "which", lambda name: None)

    with pytest.raises(StoreNotFound, match=r"install one of them, or set redis\.url"):
        embedded.store_binary()


def test_windows_has_no_embedded_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and what to do."""
    monkeypatch.setattr(sys, "platform", "win32")

    with pytest.raises(StoreNotFound, match=r"use WSL, or set redis\.url"):
        embedded.store_binary()


async def test_no_store_runs_where_nothing_is(tmp_path: Path) -> None:
    """The command line asks this first, and makes no folder by asking."""
    assert await find_running(tmp_path / "nothing") is None
    assert not (tmp_path / "nothing").exists()
