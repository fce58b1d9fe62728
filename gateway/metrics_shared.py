"""
The numbers of several workers as one: each writes a file, whoever is asked adds them up.

The files are those of prometheus-client's multiprocess mode, written by us because that
mode writes one of them at every increment and must be chosen before the first import.
A worker holds a lock as long as it lives, so that the others know when it has died,
whatever it died of and whoever has its process id now.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time
from uuid import uuid4

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

LOCK = ".alive"
UNKNOWN_GAUGE = "livesum"  # Memory and open files of all workers add up.


@contextmanager
def shared_directory() -> Iterator[Path]:
    """A directory for the numbers of one gateway's workers, until the block ends."""
    path = Path(tempfile.mkdtemp(prefix="gateway-metrics-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class SharedNumbers:
    """
    One worker's numbers among those of the others.

    Args:
        directory: Of this gateway's workers alone.
        gauges: Gauge → how those of several workers become one; prometheus-client's words.
    """

    def __init__(self, directory: Path, gauges: Mapping[str, str]) -> None:
        import fcntl  # Windows has none, and runs no workers.

        self._directory = directory
        self._gauges = gauges
        # No underscore may be in it: the file names are split there.
        self._name = f"{os.getpid()}-{uuid4().hex}"
        self._files: dict[str, MmapedDict] = {}
        self._keys: dict[tuple[str, ...], str] = {}
        self._written: dict[str, float] = {}
        made = directory / self._name
        self._alive = made.open("w")
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        # It is named when it is locked: a lock that is free is that of a dead worker.
        made.rename(directory / f"{self._name}{LOCK}")

    def write(self, families: Iterable[Metric]) -> None:
        """Bring this worker's file up to date; what has not changed is not written again."""
        at = time()
        for family in families:
            mode = self._gauges.get(family.name, UNKNOWN_GAUGE)
            kind = f"gauge_{mode}" if family.type == "gauge" else family.type
            dated = mode == "livemostrecent"
            for key, value in self._values(family):
                if dated or self._written.get(key) != value:
                    self._written[key] = value
                    self._file(kind).write_value(  # type: ignore[no-untyped-call]
                        key, value, at if dated else 0.0
                    )

    def text(self) -> bytes:
        """The numbers of all workers, in Prometheus' format; blocks while it reads."""
        self.forget_dead()
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self._directory))  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def forget_dead(self) -> None:
        """
        Take the gauges of workers that have died away.

        What they counted stays: a counter that falls is read as a restart.
        """
        import fcntl

        for lock in self._directory.glob(f"*{LOCK}"):
            # Whoever lives holds its lock, or somebody else was faster to forget it.
            with suppress(BlockingIOError, FileNotFoundError), lock.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._take_away(lock.name.removesuffix(LOCK))
                lock.unlink(missing_ok=True)

    def close(self) -> None:
        """This worker has ended; what it counted stays."""
        for file in self._files.values():
            file.close()  # type: ignore[no-untyped-call]
        self._files.clear()
        self._take_away(self._name)
        (self._directory / f"{self._name}{LOCK}").unlink(missing_ok=True)
        self._alive.close()

    def _take_away(self, name: str) -> None:
        mark_process_dead(name, str(self._directory))  # type: ignore[no-untyped-call]

    def _values(self, family: Metric) -> Iterator[tuple[str, float]]:
        """Key and value as the files have them: the buckets of a histogram one by one."""
        below = 0.0
        for sample in family.samples:
            value = sample.value
            if family.type == "histogram":
                if not sample.name.endswith("_bucket"):
                    below = 0.0
                    if sample.name.endswith("_count"):
                        continue  # It is worked out from the buckets.
                else:
                    value, below = value - below, value
            yield self._key(family, sample.name, sample.labels), value

    def _key(self, family: Metric, name: str, labels: Mapping[str, str]) -> str:
        known = (name, *labels.values())
        key = self._keys.get(known)
        if key is None:
            names, values = list(labels), list(labels.values())
            key = mmap_key(family.name, name, names, values, family.documentation)
            self._keys[known] = key
        return key

    def _file(self, kind: str) -> MmapedDict:
        file = self._files.get(kind)
        if file is None:
            path = self._directory / f"{kind}_{self._name}.db"
            file = MmapedDict(str(path))  # type: ignore[no-untyped-call]
            self._files[kind] = file
        return file
