"""
Builds every part once, in order, and closes them in reverse. The only wiring.

The order is the dependency: the stores, the ledger, the prices, the background loops, the
main path, the doors. `parts.py` says how each is made.
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
from gateway.parts import (
    Loops,
    Parts,
    make_doors,
    make_loops,
    make_main_path,
    open_ledger,
    open_pricing,
    open_stores,
)
from gateway.settings import Settings

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

    Attributes:
        parts: What it is made of, while it runs.
    """

    def __init__(self, settings: Settings, *, data_dir: Path | None = None) -> None:
        self._settings = settings
        self._data_dir = data_dir
        self.parts: Parts | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        assert self.parts is not None, "requests come after the start"
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
            stores = await open_stores(stack, settings, self._data_dir)
            ledger = await open_ledger(stack, stores)
            pricing = await open_pricing(settings, stores.database)
            loops = make_loops(settings, stores, ledger, pricing.book)
            proxy = make_main_path(stack, settings, ledger, pricing, loops)
            self.parts = make_doors(settings, stores, ledger, pricing, loops, proxy)
            await _run_loops(stack, loops)
            yield self.parts


async def _run_loops(stack: AsyncExitStack, loops: Loops) -> None:
    """
    Start the background loops, and say how they end.

    At the end nothing new is begun first, then what was handed over is settled, then the
    outbox is emptied; only then are the stores closed.
    """
    stack.push_async_callback(_record_the_rest, loops.recorder, loops.settler)
    stack.push_async_callback(loops.settler.close, within_s=SETTLES_WITHIN_S)
    for loop in (
        loops.open_calls,
        loops.sweeper,
        loops.recorder,
        loops.crediting,
        loops.settler,
        loops.backlog,
        loops.prices,
        loops.revocations,
    ):
        task = asyncio.get_running_loop().create_task(_kept(loop), name=type(loop).__name__)
        stack.push_async_callback(_stop, task)


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


async def _record_the_rest(recorder: Recorder, settler: Settler) -> None:
    """Empty the outbox, so that a stopped gateway leaves nothing behind but in SQL."""
    ends_at = monotonic() + RECORDED_WITHIN_S
    try:
        async with asyncio.timeout(RECORDED_WITHIN_S):
            # The clock is asked too: others may fill the outbox on, and see `_stop`.
            while await recorder.record_once() and monotonic() < ends_at:
                pass
            await settler.forget_recorded()
    except Exception as error:
        log.warning("outbox_left_for_the_next_start", extra={"error": str(error)[:200]})
