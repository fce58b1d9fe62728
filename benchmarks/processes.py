"""Processes that a run starts: pinned, measured by their CPU time, ended by their id."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import machine
from gateway.dev.embedded import death_signal, log_tail

ROOT = Path(__file__).parent.parent
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
START_S = 30.0
STOP_S = 30.0
PROBE_S = 0.02


class NotStarted(Exception):
    """A process ended early or does not listen; the text carries its log."""


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    folder: Path,
    *,
    port: int,
    cores: frozenset[int],
    environment: Mapping[str, str] | None = None,
    within_s: float = START_S,
) -> Iterator[int]:
    """
    Run a server until the block ends; gives its process id once it listens on `port`.

    It dies with us, however we end.
    """
    dies_with_us = death_signal(signal.SIGKILL)

    def prepare() -> None:
        machine.pin(cores)
        if dies_with_us is not None:
            dies_with_us()

    path = folder / f"{name}.log"
    with open(path, "wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], **(environment or {})},
            preexec_fn=prepare,
        )
    try:
        _wait_until_it_listens(process, port, path, within_s)
        yield process.pid
    finally:
        _end(process)


def free_port() -> int:
    """A port of the loopback interface on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def cpu_us(root: int) -> float:
    """CPU time, user and system, of a process, its descendants, and those that have ended."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path(f"/proc/{entry}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The name, in brackets, may have blanks and brackets in it.
        fields = stat.rpartition(")")[2].split()
        parents[int(entry)] = int(fields[1])
        ticks[int(entry)] = sum(int(field) for field in fields[11:15])
    return sum(ticks[process] for process in ticks if _descends(process, root, parents)) * (
        1_000_000 / TICKS_PER_S
    )


def _descends(process: int, root: int, parents: Mapping[int, int]) -> bool:
    while process > 1:
        if process == root:
            return True
        process = parents.get(process, 0)
    return False


def _wait_until_it_listens(
    process: subprocess.Popen[bytes], port: int, log: Path, within_s: float
) -> None:
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotStarted(f"{' '.join(map(str, process.args))}\n{log_tail(log, 20)}")  # type: ignore[arg-type]
        time.sleep(PROBE_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
