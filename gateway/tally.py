"""
Tally: what this process has done since it started, in plain numbers.

A call passes here once, at its end. That costs it a few look-ups in dictionaries;
`metrics.py` makes Prometheus' text of them when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from time import monotonic
from typing import Any

from gateway.errors import (
    UpstreamAccountEmpty,
    UpstreamMisbehaved,
    UpstreamRefusedOurKey,
)
from gateway.metered_call import MeteredCall
from gateway.metrics_table import COUNTED, OTHER, TIMED
from gateway.reply import Reply
from gateway.settlement import Settlement
from gateway.upstream_errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from storage.answers import Settled

Labels = tuple[str, ...]

UPSTREAM_KINDS: dict[type[BaseException], str] = {
    UpstreamUnreachable: "unreachable",
    UpstreamTimeout: "timeout",
    UpstreamBroken: "broken",
    UpstreamMisbehaved: "misbehaved",
    UpstreamRefusedOurKey: "key_refused",
    UpstreamAccountEmpty: "account_empty",
}
_STREAM = {True: "true", False: "false"}


class Timing:
    """How many took how long; `counts` has one place more than there are bounds."""

    __slots__ = ("bounds_s", "counts", "sum_s")

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def took(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds_s, seconds)] += 1
        self.sum_s += seconds


class _Timings(dict[Labels, Timing]):
    """Makes the timing of labels that were not seen before."""

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self._bounds_s = bounds_s

    def __missing__(self, labels: Labels) -> Timing:
        timing = self[labels] = Timing(self._bounds_s)
        return timing


class Tally:
    """
    Counts and timings, by the names of the table.

    Attributes:
        counts: Metric → label values → a whole number, in the smallest unit there is.
        timings: Metric → label values → timing.
    """

    def __init__(self) -> None:
        self.counts: dict[str, defaultdict[Labels, int]] = {
            metric.name: defaultdict(int, dict.fromkeys(metric.starts, 0)) for metric in COUNTED
        }
        self.timings: Mapping[str, dict[Labels, Timing]] = {
            metric.name: _Timings(metric.buckets_s) for metric in TIMED
        }
        # Bound once, because a call comes by here.
        self._calls = self.counts["gateway_calls_total"]
        self._holds = self.counts["gateway_holds_total"]
        self._units = self.counts["gateway_usage_units_total"]
        self._used = self.counts["gateway_used_credits_total"]
        self._cost = self.counts["gateway_cost_dollars_total"]
        self._scripts = self.counts["gateway_redis_scripts_total"]
        self._added = self.timings["gateway_added_seconds"]
        self._first_byte = self.timings["gateway_first_byte_seconds"]
        self._whole = self.timings["gateway_call_seconds"]
        self._batch = self.timings["gateway_redis_batch_seconds"][()]

    def add(self, metric: str, *labels: str, count: int = 1) -> None:
        """Count something that is not on the way of a call."""
        self.counts[metric][labels] += count

    def call_ended(self, endpoint: str, metered: MeteredCall | None, answer: Reply) -> None:
        """
        A call has ended, one way or another.

        Args:
            metered: None when it was refused before anything of it was understood.
        """
        model = stream = OTHER
        if metered is not None:
            model = metered.quote.row.id
            stream = _STREAM[metered.quote.call.streams]
            if not (metered.is_replay or answer.code.startswith("idempotency_")):
                # Those were told before anything was to be held for them.
                self._holds[(_hold_result(metered, answer),)] += 1
            if metered.asked_at:
                self._timed((endpoint, stream), metered)
        self._calls[(endpoint, model, stream, _status(metered, answer))] += 1
        if answer.code:
            self.refused(answer.code)

    def refused(self, code: str) -> None:
        """Somebody under /v1 was told an error of ours."""
        self.counts["gateway_refusals_total"][(code,)] += 1

    def upstream_failed(self, error: BaseException) -> None:
        """A forwarded call ended with an error; it may be of another kind."""
        kind = UPSTREAM_KINDS.get(type(error))
        if kind is not None:
            self.add("gateway_upstream_errors_total", kind)

    def upstream_answered(self, status: int) -> None:
        """OpenAI answered a call with an error that is passed on."""
        kind = "rate_limited" if status == 429 else "server_error" if status >= 500 else "rejected"
        self.add("gateway_upstream_errors_total", kind)

    def settled(self, settlement: Settlement, settled: Settled) -> None:
        """Redis has answered a settle, for the first time that this process hears of it."""
        row: dict[str, Any] = settlement.row
        model = row["model"]
        for unit, count in row["usage"].items():
            self._units[(model, unit)] += count
        self._charged(model, settled.charged.micro)
        # The sweep counted no cost, so a correction counts all of it; this never falls.
        self._cost[(model,)] += settlement.cost.pico
        if settled.shortfall:
            self.add("gateway_shortfall_credits_total", count=settled.shortfall.micro)

    def swept(self, settled: Settled) -> None:
        """A dead gateway's hold was settled."""
        self.add("gateway_swept_holds_total")
        self._charged(OTHER, settled.charged.micro)

    def recorded(self, *, rows: int, refused: int, buried: int) -> None:
        """A batch of the outbox is in SQL."""
        self.add("gateway_recorder_batches_total")
        self.add("gateway_recorder_rows_total", count=rows)
        self.add("gateway_recorder_failures_total", "entry", count=refused)
        self.add("gateway_dead_letters_total", count=buried)

    def redis_answered(self, scripts: int, seconds: float) -> None:
        """A batch of script calls has its answers."""
        self._scripts[()] += scripts
        self._batch.took(seconds)

    def redis_failed(self, scripts: int) -> None:
        """A batch of script calls has none."""
        self._scripts[()] += scripts
        self.add("gateway_redis_failures_total")

    def partition_frozen(self) -> None:
        """Redis has lost something."""
        self.add("gateway_losses_total")

    def _charged(self, model: str, micro: int) -> None:
        if micro >= 0:
            self._used[(model,)] += micro
        else:
            self.add("gateway_returned_credits_total", count=-micro)

    def _timed(self, kind: Labels, metered: MeteredCall) -> None:
        now = monotonic()
        assert metered.asked_at is not None
        added_s = metered.asked_at - metered.begun
        if metered.answered_at is not None:
            added_s += now - metered.answered_at
        self._added[kind].took(added_s)
        self._whole[kind].took(now - metered.begun)
        if metered.first_byte_ms is not None:
            before_s = metered.started - metered.begun
            self._first_byte[kind].took(before_s + metered.first_byte_ms / 1000)


def _hold_result(metered: MeteredCall, answer: Reply) -> str:
    if metered.hold is not None:
        return "fitted" if metered.was_fitted else "granted"
    refused = answer.status is not None and answer.status < 500
    return "refused" if refused else "unavailable"


def _status(metered: MeteredCall | None, answer: Reply) -> str:
    status = answer.status
    if status is None or (metered is not None and metered.cut_by_caller):
        return "left"
    if metered is not None and metered.is_replay:
        return "replayed"
    if status < 400:
        return "2xx" if metered is None or metered.complete else "cut"
    return "4xx" if status < 500 else "5xx"
