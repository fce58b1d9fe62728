"""A server that the tests started: where it is, how it ends, and that it ends with us."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.dev.data_dir import LONGEST_SOCKET_PATH
from gateway.dev.embedded import death_signal, log_tail

START_S = 30.0  # For two busy cores; alone, each is up in under half a second.
STOP_S = 30.0
PROBE_S = 0.01


class EngineMissing(Exception):
    """The server is not on this machine; the text says what installs it."""


class EngineNotStarted(Exception):
    """The server ended early or did not answer; the text carries its log."""


@dataclass
class Engine:
    """A running server."""

    name: str
    url: str  # For Redis.from_url, or for SQLAlchemy with asyncpg.
    directory: Path
    socket_dir: Path
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals = field(default=signal.SIGTERM)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    def log(self) -> str:
        """The last lines of its log."""
        return log_tail(self.directory / f"{self.name}.log", 30)

    def stop(self) -> None:
        """End it as an operator would, and wait."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it as a crash would (`kill -9`), and wait."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it stay there and say nothing (SIGSTOP), until `resume`."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self.process.send_signal(signal.SIGCONT)

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """
        Wait until it answers; ends it when it does not.

        Raises:
            EngineNotStarted: With the server's own log.
        """
        deadline = time.monotonic() + START_S
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise EngineNotStarted(f"{self.name} did not start; its log:\n{self.log()}")
            time.sleep(PROBE_S)

    def _end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.socket_dir != self.directory:
            shutil.rmtree(self.socket_dir, ignore_errors=True)


def spawn(
    name: str, command: Sequence[str | Path], directory: Path, *, last_signal: signal.Signals
) -> subprocess.Popen[bytes]:
    """
    Start a server that logs to `<name>.log` and gets `last_signal` when we die.

    Start it from the main thread: the kernel looks at the thread, not at the process.
    """
    with open(directory / f"{name}.log", "ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
            start_new_session=True,
            preexec_fn=death_signal(last_signal),
        )


def short_folder(directory: Path, socket_name: str) -> Path:
    """The directory itself, or one in the temporary folder when a socket's path is too long."""
    if len(os.fsencode(directory / socket_name)) <= LONGEST_SOCKET_PATH:
        return directory
    return Path(tempfile.mkdtemp(prefix="engine-"))
