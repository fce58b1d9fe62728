"""
Outbox → SQL: what Redis decided becomes rows, each exactly once.

Entries are deleted from Redis only after SQL has committed them, and SQL knows each by
its id. So this loop may die anywhere, and two of it may run at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from gateway.tally import Tally
from storage import dead_letters, outbox, transactions, usage_daily
from storage.database import Database
from storage.deliveries import Channel
from storage.errors import LedgerUnavailable, RecordsUnavailable
from storage.leases import everywhere
from storage.outbox import Entry
from storage.recording import Recorded
from storage.redis_keys import PARTITIONS

log = logging.getLogger(__name__)

TRIES = 5  # Then an entry that SQL refuses goes to the dead letters.
IDLE_MOST_S = 0.25  # How late a row may be when nothing happened before it.
AWAY_MOST_S = 2.0  # A server that is away is not asked more often than this.

# A look has a dozen round trips, whatever it finds. Under load it comes the later the longer
# it takes, so that more calls share it and recording takes a fifth of the time at the most.
RESTS = 4

# Rows that no day of `usage_daily` counts yet are there after an upgrade, and while a gateway
# of before it still records: looked for this often, and counted so many after each look.
CATCH_UP_EVERY_S = 60.0
CATCH_UP_ROWS = 1000

Key = tuple[int, str]
OnLoss = Callable[[int, str], Awaitable[None]]


class Recorder:
    """The loop that empties the outbox of every partition into SQL."""

    def __init__(
        self,
        database: Database,
        redis: Any,
        *,
        every_s: float = 0.05,
        batch: int = 500,
        on_loss: OnLoss | None = None,
        tally: Tally | None = None,
        runs_on: Callable[[int], bool] = everywhere,
        channels: Collection[Channel] = (),
    ) -> None:
        """
        Args:
            every_s: The pause between two looks while there is work.
            batch: Entries in one SQL transaction.
            on_loss: Awaited with partition and reason, once for each, when Redis was
                rolled back or has entries of another epoch (`Partitions.freeze`).
            runs_on: The partitions that are recorded here.
            channels: Through which alerts are to be told.
        """
        self._database = database
        self._redis = redis
        self._every_s = every_s
        self._batch = batch
        self._of_each = max(1, batch // PARTITIONS)
        self._on_loss = on_loss
        self._tally = tally or Tally()
        self._runs_on = runs_on
        self._channels = channels
        self._reported: dict[int, str] = {}
        self._tries: dict[Key, int] = {}
        self._woken = asyncio.Event()
        self._catches_up_at = 0.0

    def wake(self) -> None:
        """Look at once: there is something in the outbox."""
        self._woken.set()

    async def run(self) -> None:
        """Record until cancelled, through any absence of SQL or Redis."""
        pause_s = self._every_s
        while True:
            self._woken.clear()
            begun = monotonic()
            try:
                recorded = await self.record_once()
                await self._catch_up()
                if recorded:
                    pause_s = max(self._every_s, min(RESTS * (monotonic() - begun), IDLE_MOST_S))
                else:
                    pause_s = min(pause_s * 1.5, IDLE_MOST_S)
            except (RecordsUnavailable, LedgerUnavailable) as error:
                away = "redis_away" if isinstance(error, LedgerUnavailable) else "sql_away"
                self._tally.add("gateway_recorder_failures_total", away)
                log.warning("recorder_waits", extra={"reason": str(error)[:200]})
                pause_s = min(max(pause_s, self._every_s) * 2, AWAY_MOST_S)
            except Exception:
                # A mistake of ours must not end the only way of a call into SQL.
                self._tally.add("gateway_recorder_failures_total", "mistake")
                log.exception("recorder_failed")
                pause_s = AWAY_MOST_S
            await self._wait(pause_s)

    async def record_once(self, partitions: Sequence[int] | None = None) -> int:
        """
        Record what is at the head of every stream.

        Args:
            partitions: Other ones than those that are recorded here.

        Returns:
            How many entries left the outbox.

        Raises:
            RecordsUnavailable: SQL is away; nothing is lost.
            LedgerUnavailable: Redis is away; nothing is lost.
        """
        if partitions is None:
            partitions = [p for p in range(PARTITIONS) if self._runs_on(p)]
        entries = await outbox.read(self._redis, partitions, self._of_each)
        # About one batch in all, however many partitions it comes from: parsing more in one
        # go would keep the calls of this process waiting.
        busy = len({entry.partition for entry in entries})
        self._of_each = max(1, self._batch // max(1, busy))
        waiting: set[str] = set()
        gone = 0
        for start in range(0, len(entries), self._batch):
            some = [
                each
                for each in entries[start : start + self._batch]
                if each.why or each.business not in waiting
            ]
            gone += await self._record(some, waiting)
            # Thousands of entries must not keep the calls of this process waiting.
            await asyncio.sleep(0)
        return gone

    async def _catch_up(self) -> None:
        if monotonic() < self._catches_up_at:
            return
        try:
            async with self._database.write() as connection:
                counted = await usage_daily.catch_up(connection, limit=CATCH_UP_ROWS)
        except RecordsUnavailable:
            raise
        except Exception:
            # Days that cannot be counted must not keep calls from being recorded.
            log.exception("days_not_counted")
            counted = 0
        if counted < CATCH_UP_ROWS:
            self._catches_up_at = monotonic() + CATCH_UP_EVERY_S

    async def _wait(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._woken.wait()
        except TimeoutError:
            return
        # Whoever wakes us a thousand times a second still gets one batch for many calls.
        await asyncio.sleep(min(self._every_s, pause_s))

    async def _record(self, entries: Sequence[Entry], waiting: set[str]) -> int:
        """Store some entries and delete them from Redis; businesses that must wait are added."""
        recorded = await self._stored(entries)
        buried = await self._count_failures(recorded)
        waiting |= {entry.business for entry, _ in recorded.failed if entry.business}
        self._tally.recorded(rows=recorded.new, refused=len(recorded.failed), buried=len(buried))
        await self._report(recorded)
        gone = [*recorded.done, *buried]
        await outbox.forget(self._redis, gone)
        return len(gone)

    async def _stored(self, entries: Sequence[Entry]) -> Recorded:
        try:
            return await self._in_one_transaction(entries)
        except DBAPIError as error:
            if not _is_about_a_value(error):
                raise
            return await self._one_by_one(entries)

    async def _one_by_one(self, entries: Sequence[Entry]) -> Recorded:
        """SQL refuses something in the batch: find out what, and store the rest."""
        whole = Recorded()
        for entry in entries:
            if any(entry.business == failed.business for failed, _ in whole.failed):
                continue
            try:
                one = await self._in_one_transaction([entry])
            except DBAPIError as error:
                if not _is_about_a_value(error):
                    raise
                one = Recorded(failed=[(entry, f"SQL refuses it: {error.orig}")])
            whole.done += one.done
            whole.new += one.new
            whole.stale += one.stale
            whole.failed += one.failed
            whole.lost = one.lost | whole.lost
        return whole

    async def _in_one_transaction(self, entries: Sequence[Entry]) -> Recorded:
        async with self._database.write() as connection:
            return await transactions.record(
                connection, entries, at=datetime.now(UTC), channels=self._channels
            )

    async def _count_failures(self, recorded: Recorded) -> list[Entry]:
        """Bury what has failed too often; answers what was buried."""
        buried = []
        for entry, why in recorded.failed:
            key = (entry.partition, entry.entry_id)
            self._tries[key] = self._tries.get(key, 0) + 1
            noted = {"partition": entry.partition, "entry": entry.entry_id, "why": why[:500]}
            if self._tries[key] < TRIES:
                log.error("entry_not_recorded", extra=noted)
                continue
            async with self._database.write() as connection:
                await dead_letters.bury(connection, entry, why=why, at=datetime.now(UTC))
            log.critical("entry_buried", extra=noted)
            del self._tries[key]
            buried.append(entry)
        return buried

    async def _report(self, recorded: Recorded) -> None:
        reasons = {
            entry.partition: f"its outbox has entries of epoch {entry.epoch}, which is not SQL's"
            for entry in recorded.stale
        }
        for partition, reason in (reasons | recorded.lost).items():
            if self._reported.get(partition) == reason:
                continue
            self._reported[partition] = reason
            log.critical("loss_noticed", extra={"partition": partition, "reason": reason})
            if self._on_loss is not None:
                await self._on_loss(partition, reason)


def _is_about_a_value(error: DBAPIError) -> bool:
    # Only such an entry can be at fault. Anything else that SQL says (a missing table) is
    # true of every entry, and none of them may be buried for it.
    return isinstance(error, (IntegrityError, DataError)) or isinstance(
        getattr(error.orig, "__cause__", None), ValueError
    )
