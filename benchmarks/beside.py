"""
Peers beside us: each alone on the core that ours had, in front of the same stub.

A peer that cannot be had, does not start, or fails under the load is a line of the report
and never the end of the run.
"""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import workloads
from benchmarks.callers import CallFailed, Request
from benchmarks.forgiving import ForgivingCallers
from benchmarks.peers import installing
from benchmarks.peers.installing import Say
from benchmarks.peers.peer import MODEL, Door, NotHad, Peer
from benchmarks.processes import NotStarted, cpu_us
from benchmarks.workloads import WORKLOADS, Workload

ROUND_WITHIN_S = 300.0
FIRST_WITHIN_S = 60.0
WORD, WORDS = b"word", 32
"""What the stub says, in its reply or in its events."""


@dataclass(frozen=True)
class PeerFigure:
    """One round of one workload; `good` calls of `calls` were answered as they should be."""

    cpu_us: float
    calls: int
    good: int
    took_s: float
    why: str = ""

    @property
    def a_call_us(self) -> float | None:
        """CPU for one good call; None when there was none."""
        return self.cpu_us / self.good if self.good else None


@dataclass
class Beside:
    """
    What was found of one peer.

    Attributes:
        missing: Why there are no figures at all.
    """

    peer: Peer
    missing: str = ""
    rounds: dict[str, list[PeerFigure]] = field(default_factory=dict)

    def cpu_us(self, workload: Workload) -> float | None:
        """The median CPU of one good call."""
        found = [figure.a_call_us for figure in self.rounds.get(workload.name, [])]
        known = [figure for figure in found if figure is not None]
        return median(known) if known else None

    def failed(self, workload: Workload) -> tuple[float, str]:
        """The share of calls that failed, and how most of them did."""
        figures = self.rounds.get(workload.name, [])
        calls = sum(figure.calls for figure in figures)
        bad = calls - sum(figure.good for figure in figures)
        why = next((figure.why for figure in figures if figure.why), "")
        return (bad / calls if calls else 0.0), why


class Peers:
    """The peers of a run, installed where they can be had."""

    def __init__(self, asked: Iterable[Peer], *, rounds: int, quick: bool, say: Say) -> None:
        self.found = [Beside(peer) for peer in asked]
        self._folders: dict[str, Path] = {}
        self._rounds = rounds
        self._fewer = workloads.QUICK if quick else 1
        self._say = say

    def install(self) -> None:
        """Before anything is measured: it takes minutes and both cores."""
        for beside in self.found:
            try:
                self._folders[beside.peer.name] = installing.had(beside.peer, say=self._say)
            except NotHad as error:
                beside.missing = f"could not be installed: {error}"
                self._say(f"{beside.peer.title} {beside.missing}")

    async def measure(
        self, folder: Path, *, upstream: str, latency_ms: int, cores: frozenset[int]
    ) -> None:
        """Every workload of a latency on every peer, one peer after the other."""
        asked = [workload for workload in WORKLOADS if workload.latency_ms == latency_ms]
        for beside in self.found:
            if beside.missing:
                continue
            peer = beside.peer
            try:
                with peer.start(self._folders[peer.name], folder, upstream, cores) as door:
                    for workload in asked:
                        self._say(f"{peer.title}: {workload.name}")
                        beside.rounds[workload.name] = await self._measured(workload, peer, door)
            except (NotStarted, OSError) as error:
                beside.missing = f"did not start: {told(error)}"
                self._say(f"{peer.title} {beside.missing}")

    async def _measured(self, workload: Workload, peer: Peer, door: Door) -> list[PeerFigure]:
        body = workloads.with_model(workload.body, MODEL)
        try:
            expected = await _first(body, door)
        except (CallFailed, OSError) as error:
            return [PeerFigure(0.0, calls=1, good=0, took_s=0.0, why=told(error))]
        request = Request.of(body, key=door.key, headers=door.headers, reply_bytes=expected)
        fewer = peer.fewer * self._fewer
        calls = max(workload.calls // fewer, workload.connections)
        warm_up = max(workload.warm_up // fewer, min(workload.connections, 64))
        return [
            await _round(request, door, workload.connections, warm_up=warm_up, calls=calls)
            for _ in range(self._rounds)
        ]


async def _round(
    request: Request, door: Door, connections: int, *, warm_up: int, calls: int
) -> PeerFigure:
    """One round; a time-out ends it, and what was not answered has failed."""
    began_us, began = cpu_us(door.pid), time.perf_counter()
    good, why = 0, ""
    try:
        async with ForgivingCallers.connected(door.port, request, connections) as callers:
            await callers.make(warm_up, within_s=ROUND_WITHIN_S)
            good_before = callers.made
            callers.failures.clear()
            began_us, began = cpu_us(door.pid), time.perf_counter()
            try:
                await callers.make(calls, within_s=ROUND_WITHIN_S)
            except TimeoutError:
                callers.failures[f"not answered in {ROUND_WITHIN_S:.0f} s"] += 1
            good = callers.made - good_before
            why = "; ".join(what for what, _ in callers.failures.most_common(1))
    except (OSError, TimeoutError) as error:
        why = told(error)
    spent_us, took_s = cpu_us(door.pid) - began_us, time.perf_counter() - began
    return PeerFigure(spent_us, calls, good, took_s, why)


async def _first(body: bytes, door: Door) -> int:
    """
    Make a first call; how long the body of its reply is.

    Raises:
        CallFailed: It is not what the stub said, whatever the peer makes of its form.
    """
    request = urllib.request.Request(
        f"http://127.0.0.1:{door.port}/v1/chat/completions",
        data=body,
        headers={
            "Authorization": f"Bearer {door.key}",
            "Content-Type": "application/json",
            **door.headers,
        },
    )

    def call() -> bytes:
        with urllib.request.urlopen(request, timeout=FIRST_WITHIN_S) as reply:
            return bytes(reply.read())

    said = await asyncio.to_thread(call)
    if said.count(WORD) != WORDS:
        raise CallFailed(f"the stub says {WORDS} words, and a reply has {said.count(WORD)}")
    return len(said)


def told(error: BaseException) -> str:
    """What went wrong, in one short line."""
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


def asked_for(names: Sequence[str] | None, all_of_them: Sequence[Peer]) -> list[Peer]:
    """The peers of `--peers`: none without it, all when it names none."""
    if names is None:
        return []
    return [peer for peer in all_of_them if not names or peer.name in names]
