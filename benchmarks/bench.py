"""
One run: rounds of every workload on every system, and the books proven at the end.

The systems take turns within a round, so that what else the machine does meets all of them
alike; the figures are medians of the rounds.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from benchmarks import machine, systems, workloads
from benchmarks.beside import Beside, Peers
from benchmarks.books import Books
from benchmarks.callers import Callers, CallFailed, Request
from benchmarks.peers.installing import Say
from benchmarks.peers.peer import Peer
from benchmarks.processes import cpu_us
from benchmarks.systems import System
from benchmarks.workloads import WORKLOADS, LowRate, Workload
from gateway.dev.embedded import log_tail
from tests import engines

ROUND_WITHIN_S = 120.0
STUB = "the stub itself"
REDIS = "one write to Redis"


@dataclass(frozen=True)
class Figure:
    """One round of one workload on one system; CPU in µs a call."""

    system_us: float
    redis_us: float
    sql_us: float
    calls_per_s: float


@dataclass
class Results:
    """
    All figures of a run.

    `rounds` maps (workload, system) to its rounds; `waits_ms` maps a system to how long
    each call at the low rate took. `beside` has the peers, which ran after our systems.
    """

    rounds: dict[tuple[str, str], list[Figure]] = field(default_factory=lambda: defaultdict(list))
    waits_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    calls: int = 0
    beside: list[Beside] = field(default_factory=list)

    def cpu_us(self, workload: Workload, system: str) -> float | None:
        """The median CPU of a system for one call."""
        figures = self.rounds.get((workload.name, system))
        return median(figure.system_us for figure in figures) if figures else None

    def waited_ms(self, system: str) -> tuple[float, float]:
        """p50 and p99 of one call at a time."""
        cuts = quantiles(self.waits_ms[system], n=100)
        return cuts[49], cuts[98]

    def added_ms(self, system: str) -> tuple[float, float]:
        """
        p50 and p99 of what a system adds to the call, each against the call before it.

        The stub was called right before, so that what else the machine did met both.
        """
        pairs = zip(self.waits_ms[system], self.waits_ms[STUB], strict=True)
        cuts = quantiles((with_it - without for with_it, without in pairs), n=100)
        return cuts[49], cuts[98]


class Bench:
    """A run."""

    def __init__(self, *, rounds: int, quick: bool, say: Say, peers: Sequence[Peer] = ()) -> None:
        self._peers = Peers(peers, rounds=rounds, quick=quick, say=say)
        self._rounds = rounds
        self._fewer = workloads.QUICK if quick else 1
        self._say = say
        self._under_test, self._others = machine.cores()
        self._results = Results()

    async def run(self) -> Results:
        """
        Start everything, measure, prove the books, end everything.

        Raises:
            CallFailed, BooksWrong, NotStarted, EngineMissing: There are no figures then.
        """
        machine.allow_many_sockets()
        self._peers.install()
        self._results.beside = self._peers.found
        machine.pin(self._others)
        async with AsyncExitStack() as stack:
            self._folder = folder = _open_folder(stack)
            self._redis = machine.start_redis(folder / "redis")
            stack.callback(self._redis.stop)
            self._sql = engines.start_postgres(folder / "postgres", "-c", "fsync=on")
            stack.callback(self._sql.stop)
            self._books = await Books.begin(redis_url=self._redis.url, sql_url=self._sql.url)
            stack.push_async_callback(self._books.close)
            for latency_ms in sorted({workload.latency_ms for workload in WORKLOADS}):
                await self._with_upstream(latency_ms)
            await self._books.prove(self._results.calls)
        return self._results

    async def _with_upstream(self, latency_ms: int) -> None:
        with systems.stub(self._folder, latency_ms=latency_ms, cores=self._others) as upstream:
            await self._ours(upstream, latency_ms)
            await self._peers.measure(
                self._folder, upstream=upstream, latency_ms=latency_ms, cores=self._under_test
            )

    async def _ours(self, upstream: str, latency_ms: int) -> None:
        with ExitStack() as stack:
            under_test = self._systems(stack, upstream)
            stub_port = int(upstream.rpartition(":")[2])
            if latency_ms == 0:
                await self._call_slowly([System(STUB, stub_port, 0), *under_test])
            for number in range(self._rounds):
                for workload in WORKLOADS:
                    if workload.latency_ms == latency_ms:
                        self._say(f"round {number + 1} of {self._rounds}: {workload.name}")
                        await self._round(workload, under_test, stub_port)

    def _systems(self, stack: ExitStack, upstream: str) -> list[System]:
        cores = self._under_test
        started = [
            systems.nginx(self._folder, upstream=upstream, cores=cores),
            systems.pass_through(self._folder, upstream=upstream, cores=cores),
            systems.gateway(
                self._folder,
                upstream=upstream,
                redis_url=self._redis.url,
                sql_url=self._sql.url,
                cores=cores,
            ),
        ]
        entered = [stack.enter_context(system) for system in started]
        return [system for system in entered if system is not None]

    async def _round(self, workload: Workload, under_test: list[System], stub_port: int) -> None:
        expected = await self._reply_bytes(workload.body, stub_port)
        request = Request.of(workload.body, key=self._books.key, reply_bytes=expected)
        for system in under_test:
            figure = await self._measure(workload, system, request)
            self._results.rounds[workload.name, system.name].append(figure)

    async def _measure(self, workload: Workload, system: System, request: Request) -> Figure:
        calls = max(workload.calls // self._fewer, workload.connections)
        async with (
            self._told(system),
            Callers.connected(system.port, request, workload.connections) as callers,
        ):
            await callers.make(workload.warm_up, within_s=ROUND_WITHIN_S)
            await self._count(system, workload.warm_up)
            before = self._cpu_us(system)
            begun = time.perf_counter()
            await callers.make(calls, within_s=ROUND_WITHIN_S)
            took_s = time.perf_counter() - begun
            # What is done after a reply, down to the row in SQL, is part of what it costs.
            await self._count(system, calls)
            after = self._cpu_us(system)
        system_us, redis_us, sql_us = (
            (now - then) / calls for now, then in zip(after, before, strict=True)
        )
        return Figure(system_us, redis_us, sql_us, calls_per_s=calls / took_s)

    async def _call_slowly(self, systems_there: list[System]) -> None:
        """One call at a time, of each system in turn, and a write to Redis beside them."""
        rate = LowRate()
        self._say("one call at a time")
        waits = self._results.waits_ms
        async with AsyncExitStack() as stack:
            request = Request.of(workloads.JSON, key=self._books.key)
            callers = {
                system: await stack.enter_async_context(Callers.connected(system.port, request, 1))
                for system in systems_there
            }
            for number in range(-rate.warm_up, rate.calls // self._fewer):
                waited = [(REDIS, await self._books.write_ms())]
                waited += [(each.name, await one.call_ms()) for each, one in callers.items()]
                if number >= 0:
                    for name, wait_ms in waited:
                        waits[name].append(wait_ms)
                await asyncio.sleep(rate.pause_s)
            for system, one in callers.items():
                await self._count(system, one.made)

    @asynccontextmanager
    async def _told(self, system: System) -> AsyncIterator[None]:
        """Let a failure carry the last lines of the system's log."""
        try:
            yield
        except CallFailed as error:
            log = log_tail(self._folder / f"{system.name}.log", 20)
            raise CallFailed(f"{system.name}: {error}\n{log}") from error

    async def _count(self, system: System, calls: int) -> None:
        if system.name == "gateway":
            self._results.calls += calls
            await self._books.recorded(self._results.calls)

    def _cpu_us(self, system: System) -> tuple[float, float, float]:
        return cpu_us(system.pid), cpu_us(self._redis.pid), cpu_us(self._sql.pid)

    async def _reply_bytes(self, body: bytes, stub_port: int) -> int:
        async with Callers.connected(stub_port, Request.of(body, key="any"), 1) as callers:
            await callers.make(1, within_s=10)
            return callers.reply_bytes


def _open_folder(stack: AsyncExitStack) -> Path:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    folder.chmod(0o711)  # PostgreSQL may have to be another user than we are.
    return folder
