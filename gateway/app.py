"""
Builds every part once, in order, and closes them in reverse. The only wiring.

The order is the dependency: the stores, the ledger, the prices, the background loops, the
main path, the doors. `parts.py` and `loops.py` say how each is made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from gateway.background.recorder import Recorder
from gateway.background.settler import Settler
from gateway.jobs import Jobs
from gateway.loops import Loops, make_loops
from gateway.metrics import Metrics
from gateway.notifying import open_notifier
from gateway.parts import (
    Parts,
    make_doors,
    make_main_path,
    open_pricing,
)
from gateway.recording import Recording, make_recording
from gateway.selling import open_selling
from gateway.settings import Settings
from gateway.stores import open_ledger, open_stores
from gateway.tally import Tally
from storage.redis_keys import PARTITIONS

log = logging.getLogger(__name__)

SETTLES_WITHIN_S = 20.0  # At the end; what Redis has not answered by then is swept later.
RECORDED_WITHIN_S = 5.0  # At the end; what is in the outbox by then waits there.
AGAIN_S = 1.0  # A background loop that failed goes on after it.
CANCELLED_AGAIN_S = 0.5  # A loop that is told to end has done so in a few milliseconds.


class Gateway:
    """
    The whole gateway as one ASGI app.

    Args:
        settings: Checked already; secrets are unwrapped here and nowhere else.
        data_dir: Where an embedded Valkey lives.
        metrics_dir: Where the workers of one gateway add up their metrics.

    Attributes:
        parts: What it is made of, while it runs.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        data_dir: Path | None = None,
        metrics_dir: Path | None = None,
    ) -> None:
        self._settings = settings
        self._data_dir = data_dir
        self._metrics_dir = metrics_dir
        self.parts: Parts | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.parts is not None, "requests come after the start"
        if scope["type"] == "websocket":
            await self.parts.doors.socket(scope, receive, send)
            return
        await self.parts.doors(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Parts]:
        """
        Build the parts and keep the background loops running inside the block.

        Raises:
            SchemaOutdated, LedgerUnavailable, RecordsUnavailable, MeteringError: The
                gateway cannot serve as it is set up; the text says what helps.
        """
        async with AsyncExitStack() as stack:
            settings = self._settings
            metrics = Metrics(self._metrics_dir)
            stack.callback(metrics.close)
            stores = await open_stores(stack, settings, self._data_dir)
            ledger = await open_ledger(stack, stores, metrics.tally)
            pricing = await open_pricing(settings, stores.database)
            loops = make_loops(settings, stores, ledger, pricing.book, metrics)
            main_path = make_main_path(stack, settings, stores, ledger, pricing, loops)
            selling = open_selling(stack, settings, stores, ledger, loops)
            notifier = open_notifier(stack, settings, stores, ledger)
            self.parts = make_doors(settings, stores, ledger, pricing, loops, main_path, selling)
            await _run_loops(stack, loops, main_path.jobs)
            _start(stack, selling.pending)
            if notifier is not None:
                _start(stack, notifier)
            yield self.parts


async def _run_loops(stack: AsyncExitStack, loops: Loops, jobs: Jobs) -> None:
    """
    Start the background loops, and say how they end.

    At the end nothing new is begun first, then what was handed over is settled, then the
    outbox is emptied; only then are the stores closed.
    """
    if loops.recording.is_here:
        stack.push_async_callback(_record_the_rest, loops.recorder, loops.settler)
    stack.push_async_callback(loops.settler.close, within_s=SETTLES_WITHIN_S)
    recording = [loops.recorder, loops.crediting] if loops.recording.is_here else []
    await loops.leases.renew()
    for loop in (
        loops.open_calls,
        loops.leases,
        loops.sweeper,
        *recording,
        loops.expiry,
        loops.reconciler,
        loops.settler,
        loops.backlog,
        loops.prices,
        loops.revocations,
        loops.metrics,
        jobs,
    ):
        _start(stack, loop)


def _start(stack: AsyncExitStack, loop: Any) -> None:
    task = asyncio.get_running_loop().create_task(_kept(loop), name=type(loop).__name__)
    stack.push_async_callback(_stop, task)


@asynccontextmanager
async def recording(settings: Settings) -> AsyncIterator[Recording]:
    """
    Record and credit inside the block, and serve nobody: `gateway recorder`.

    Raises:
        SchemaOutdated, LedgerUnavailable, RecordsUnavailable: It cannot, as it is set up.
    """
    async with AsyncExitStack() as stack:
        stores = await open_stores(stack, settings, None)
        tally = Tally()
        ledger = await open_ledger(stack, stores, tally)
        made = make_recording(settings, stores, ledger, tally, here=True)
        stack.push_async_callback(_record_the_rest, made.recorder)
        await ledger.leases.renew()
        for loop in (ledger.leases, made.recorder, made.crediting):
            _start(stack, loop)
        yield made


async def _kept(loop: Any) -> None:
    """Run a background loop; a mistake in it is logged and must not end its work for good."""
    while True:
        try:
            await loop.run()
        except Exception:
            log.exception("background_loop_failed", extra={"loop": type(loop).__name__})
        await asyncio.sleep(AGAIN_S)


async def _stop(task: asyncio.Task[None]) -> None:
    # redis-py sends with asyncio.wait_for, which before Python 3.12 swallows a cancellation
    # that comes in the moment its work is done; so one is not always enough.
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCELLED_AGAIN_S)


async def _record_the_rest(recorder: Recorder, settler: Settler | None = None) -> None:
    """Empty the outbox, so that a stopped gateway leaves nothing behind but in SQL."""
    ends_at = monotonic() + RECORDED_WITHIN_S
    try:
        async with asyncio.timeout(RECORDED_WITHIN_S):
            # The clock is asked too: others may fill the outbox on, and see `_stop`.
            while await recorder.record_once(range(PARTITIONS)) and monotonic() < ends_at:
                pass
            if settler is not None:
                await settler.forget_recorded()
    except Exception as error:
        log.warning("outbox_left_for_the_next_start", extra={"error": str(error)[:200]})
