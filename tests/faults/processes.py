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
