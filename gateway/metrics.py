"""
`/metrics`: what this gateway has done and what it is doing now, for Prometheus.

One process makes the text from its own tally. Of several workers each writes its numbers
down once a second, and the one that is asked adds up what all have written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gateway import __version__
from gateway.metrics_shared import SharedNumbers
from gateway.metrics_table import COUNTED, TIMED, WATCHED, Watched
from gateway.tally import Tally

WRITE_EVERY_S = 1.0  # So much older than the truth may be what another worker is asked for.

Read = Callable[[], float | Mapping[str, float]]

_FROM_PROCESS = {
    "process_start_time_seconds": "livemin",
    "process_max_fds": "livemin",
}
_OVER_WORKERS = {metric.name: metric.over_workers for metric in WATCHED} | _FROM_PROCESS


class Metrics:
    """
    Everything that is measured of this process.

    Args:
        directory: Where the workers of one gateway write their numbers; None for a single
            process.

    Attributes:
        tally: What is counted; the parts are given it.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.tally = Tally()
        self._process = ProcessCollector(registry=None)
        self._shared = SharedNumbers(directory, _OVER_WORKERS) if directory else None
        self._reads: dict[str, Read] = {}
        self.watch(
            gateway_workers=lambda: 1,
            gateway_build_info=lambda: {__version__: 1},
        )

    def watch(self, **reads: Read) -> None:
        """How to read a gauge: a number, or one for each value of its label."""
        assert reads.keys() <= {metric.name for metric in WATCHED}, "see metrics_table.py"
        self._reads |= reads

    async def text(self) -> bytes:
        """
        All of it in Prometheus' text format.

        Numbers are taken here, in one go; the text is made in a thread, because it takes
        some milliseconds.
        """
        families = self.families()
        if self._shared is None:
            return await asyncio.to_thread(_text, families)
        self._shared.write(families)
        return await asyncio.to_thread(self._shared.text)

    async def run(self) -> None:
        """Write the numbers down for the other workers, until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            self.write()

    def write(self) -> None:
        """Write the numbers down for the other workers, where there are any."""
        if self._shared is not None:
            self._shared.write(self.families())

    def close(self) -> None:
        """The process ends: what it counted stays for the others, what it was doing does not."""
        if self._shared is not None:
            self._reads.clear()
            self.write()
            self._shared.close()

    def families(self) -> list[Metric]:
        """What is known now, of this process alone."""
        return [
            *self._counted(),
            *self._timed(),
            *(_gauge(metric, self._reads[metric.name]) for metric in self._read_now()),
            *self._process.collect(),
        ]

    def _read_now(self) -> Iterator[Watched]:
        return (metric for metric in WATCHED if metric.name in self._reads)

    def _counted(self) -> Iterator[Metric]:
        for metric in COUNTED:
            family = CounterMetricFamily(metric.name, metric.means, labels=metric.labels)
            for labels, count in self.tally.counts[metric.name].items():
                family.add_metric(labels, count / metric.in_one)
            yield family

    def _timed(self) -> Iterator[Metric]:
        for metric in TIMED:
            family = HistogramMetricFamily(metric.name, metric.means, labels=metric.labels)
            names = [*map(str, metric.buckets_s), "+Inf"]
            for labels, timing in self.tally.timings[metric.name].items():
                below = accumulate(timing.counts)
                family.add_metric(labels, list(zip(names, below, strict=True)), timing.sum_s)
            yield family


def _gauge(metric: Watched, read: Read) -> Metric:
    value = read()
    if not isinstance(value, Mapping):
        return GaugeMetricFamily(metric.name, metric.means, value)
    family = GaugeMetricFamily(metric.name, metric.means, labels=[metric.label])
    for label, number in value.items():
        family.add_metric([label], number)
    return family


class _Taken(Collector):
    """Families that were taken before, as a registry wants them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _text(families: list[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Taken(families))
    return generate_latest(registry)
