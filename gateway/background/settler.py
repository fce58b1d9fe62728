"""
Settles calls, and keeps every settle until SQL has its row.

A caller never waits for this: the main path hands a settlement over with the last byte
of a reply. It is asked for with the same id until it is answered, and forgotten only
after its id was read in SQL, so that a Redis that loses it can be told again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import replace
from time import monotonic

from gateway.settlement import Settlement, adjusted
from gateway.tally import Tally
from storage import transactions
from storage.accounts import Accounts
from storage.balances import Balances, NoHold, Settled
from storage.database import Database
from storage.errors import LedgerUnavailable, StorageError

log = logging.getLogger(__name__)

ASK_AGAIN_S = 0.25  # Soon enough that a restarted Redis has every settle within a second.
ASK_AGAIN_MOST_S = 2.0  # A Redis that is away for long is not asked more often.
UNSURE_FOR_S = 10.0  # A hold nobody knows of is given back by then, or when its lease ends.
LOOK_IN_SQL_EVERY_S = 1.0
IDS_AT_ONCE = 1000  # One look-up of so many ids costs SQL a few milliseconds.
A_SETTLEMENT_BYTES = 1700  # Measured: what Python needs for one, its row included.


class Settler:
    """Every settle this process has made and SQL does not have yet."""

    def __init__(
        self,
        balances: Balances,
        accounts: Accounts,
        database: Database,
        tally: Tally | None = None,
    ) -> None:
        self._balances = balances
        self._accounts = accounts
        self._database = database
        self._tally = tally or Tally()
        self._answered: dict[str, Settlement] = {}
        self._running: set[asyncio.Task[None]] = set()

    def settle(self, settlement: Settlement) -> None:
        """Settle in the background; never fails and never waits."""
        self._start(self._settle_until_answered(settlement))

    def settle_when(self, counted: Awaitable[Settlement]) -> None:
        """The same for a settlement that must be worked out first (tokens counted)."""
        self._start(self._count_then_settle(counted))

    @property
    def unanswered(self) -> int:
        """Settlements that Redis has not confirmed yet."""
        return len(self._running)

    @property
    def kept(self) -> int:
        """Settlements that SQL has not been seen to have."""
        return len(self._answered) + len(self._running)

    @property
    def backlog_bytes(self) -> int:
        """About how much memory they take."""
        return self.kept * A_SETTLEMENT_BYTES

    async def run(self) -> None:
        """Forget what SQL has, about once a second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_IN_SQL_EVERY_S)
            try:
                await self.forget_recorded()
            except StorageError as error:
                log.warning("settles_not_checked", extra={"error": type(error).__name__})

    async def forget_recorded(self) -> None:
        """Read the ids of answered settlements in SQL and forget those that are there."""
        ids = list(self._answered)
        for start in range(0, len(ids), IDS_AT_ONCE):
            some = ids[start : start + IDS_AT_ONCE]
            async with self._database.read() as connection:
                stored = await transactions.stored_ids(connection, some)
            for id in stored:
                self._answered.pop(id, None)

    async def close(self, *, within_s: float) -> None:
        """Wait until everything handed over is answered; log what is not."""
        deadline = monotonic() + within_s
        while self._running and (left := deadline - monotonic()) > 0:
            await asyncio.wait(self._running, timeout=left)
        if self._running:
            log.error("settles_left_to_the_sweeper", extra={"count": len(self._running)})
            for task in self._running:
                task.cancel()

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._done)

    async def _count_then_settle(self, counted: Awaitable[Settlement]) -> None:
        await self._settle_until_answered(await counted)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # A mistake of ours: the sweeper will find the hold when its lease has ended.
            log.critical("settle_failed", exc_info=task.exception())

    async def _settle_until_answered(self, settlement: Settlement) -> None:
        pause_s = ASK_AGAIN_S
        asked_since = monotonic()
        while True:
            try:
                await self._settle(settlement)
                return
            except StorageError as error:
                if settlement.only_if_held and monotonic() - asked_since > UNSURE_FOR_S:
                    return
                if pause_s == ASK_AGAIN_S:
                    log.warning("settle_asked_again", extra=_why(settlement, error))
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, ASK_AGAIN_MOST_S)

    async def _settle(self, settlement: Settlement) -> None:
        try:
            settled = await self._ask(settlement)
        except NoHold:
            await self._without_hold(settlement)
            return
        if settled.is_new or settled.outcome == settlement.outcome:
            self._keep(settlement)
            self._tally.settled(settlement, settled)
            if settled.shortfall:
                log.error(
                    "shortfall", extra={"id": settlement.id, "credits": str(settled.shortfall)}
                )
        elif settled.outcome == "orphaned":
            self._tally.add("gateway_late_settles_total", "adjusted")
            await self._settle(adjusted(settlement, charged=settled.charged))

    async def _ask(self, settlement: Settlement) -> Settled:
        async def ask() -> Settled:
            return await self._balances.settle(
                business=settlement.business,
                id=settlement.id,
                amount=settlement.amount,
                outcome=settlement.outcome,
                row=settlement.row_text(),
                granted=settlement.granted,
                adopt=settlement.adopt,
                key=settlement.key,
                tokens=settlement.tokens,
                claim=settlement.claim,
            )

        return await self._accounts.opened(settlement.business, ask)

    async def _without_hold(self, settlement: Settlement) -> None:
        """Neither hold nor answer is left: SQL knows whether the sweeper was faster."""
        if settlement.only_if_held:
            return
        async with self._database.read() as connection:
            stored = await transactions.outcome_of(connection, settlement.id)
        if stored is None:
            self._tally.add("gateway_late_settles_total", "adopted")
            await self._settle(replace(settlement, adopt=True))
        elif stored.outcome == "orphaned":
            self._tally.add("gateway_late_settles_total", "adjusted")
            await self._settle(adjusted(settlement, charged=stored.credits_used))

    def _keep(self, settlement: Settlement) -> None:
        self._answered[settlement.id] = settlement


def _why(settlement: Settlement, error: StorageError) -> dict[str, str]:
    reason = error.reason if isinstance(error, LedgerUnavailable) else str(error)[:200]
    return {"id": settlement.id, "reason": reason}
