"""The gateway and the stub OpenAI as processes of their own, so that they can be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx2

from gateway.dev.embedded import death_signal

ROOT = Path(__file__).parents[2]
STARTED_WITHIN_S = 60.0  # For two busy cores; alone it takes a second.
ENDED_WITHIN_S = 60.0
PROBE_S = 0.02


class Process:
    """A Python module that runs by itself, and dies with us."""

    def __init__(self, module: str, *arguments: str, environ: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=log.parent,  # Where no config.toml lies.
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=death_signal(signal.SIGKILL),
            )

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it as a crash would (`kill -9`), and wait."""
        self._process.kill()
        self._process.wait()

    async def terminated(self) -> int:
        """End it as an operator would (SIGTERM); gives its exit code."""
        self._process.terminate()
        async with asyncio.timeout(ENDED_WITHIN_S):
            while self.runs:
                await asyncio.sleep(PROBE_S)
        return self._process.returncode

    async def answers(self, url: str) -> None:
        """Wait until `url` is answered with 200."""
        async with httpx2.AsyncClient() as client, asyncio.timeout(STARTED_WITHIN_S):
            while not await _is_good(client, url):
                assert self.runs, f"it ended:\n{self.log.read_text()[-3000:]}"
                await asyncio.sleep(PROBE_S)


class Gateway:
    """`gateway serve` on a port of its own; it may be killed, and be started again there."""

    def __init__(self, name: str, *, environ: Mapping[str, str], folder: Path) -> None:
        self.log = folder / f"{name}.log"
        self._environ = environ
        self._port = free_port()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Where it listens, whenever it runs."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-2000:] if self.log.exists() else ""

    async def starts(self) -> None:
        """Start it, and wait until it is ready."""
        arguments = ("serve", "--port", str(self._port))
        self._process = Process("gateway", *arguments, environ=self._environ, log=self.log)
        await self._process.answers(f"{self.url}/readyz")

    def is_killed(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()

    async def is_stopped(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self._process is not None, "it was started"
        return await self._process.terminated()


async def _is_good(client: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx2.TransportError:
        return False


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
