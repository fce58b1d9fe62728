"""The machine of a run: its cores and who gets which, and how it is called in the results."""

from __future__ import annotations

import os
import platform
import resource
import shutil
from pathlib import Path

from tests import engines

OPEN_FILES = 10_000  # 2,000 calls in flight are 4,000 sockets of one process.


def cores() -> tuple[frozenset[int], frozenset[int]]:
    """
    The core of the system under test, and those of everything else.

    One and the same where there is only one; figures from there are of little use.
    """
    first, *others = sorted(os.sched_getaffinity(0))
    return frozenset({first}), frozenset(others or {first})


def pin(to: frozenset[int]) -> None:
    """Keep this process, and what it starts from now on, on some cores."""
    os.sched_setaffinity(0, to)


def allow_many_sockets() -> None:
    """
    Raise this process's limit of open files, for itself and what it starts.

    Raises:
        OSError: The system does not allow as many as a run needs.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES:
        if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
            raise OSError(f"{OPEN_FILES} open files are needed and {hard} are allowed: ulimit -n")
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))


def redis_engine() -> str:
    """
    The system's Redis where there is one, as operators run it; else the Valkey of the wheel.

    The wheel's has the C library's allocator, and pays half as much again for a write.
    """
    return "redis" if shutil.which("redis-server") else "valkey"


def start_redis(directory: Path) -> engines.Engine:
    """Redis with an append-only file that is synced at every write."""
    starts = {"redis": engines.start_redis, "valkey": engines.start_valkey}
    return starts[redis_engine()](directory)


def described() -> list[str]:
    """Processor, system, Python and engines, a line for each."""
    system = os.uname()
    return [
        f"{_processor()}, {os.cpu_count()} cores, {system.sysname} {system.release}",
        f"Python {platform.python_version()}, {engines.version(redis_engine())} (append-only file, "
        f"synced at every write), {engines.version('postgres')} (fsync on)",
        f"load average at the start: {os.getloadavg()[0]:.1f}",
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
