"""
Settles the holds of callers that died: those whose lease has ended.

A hold that is swept is charged what its checkpoint says; the script decides, by the
clock of Redis, whether the lease has really ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from gateway.tally import Tally
from storage import redis_keys
from storage.balances import Balances, NoAccount, NoHold, Overdue
from storage.errors import ACCOUNT_FROZEN, LedgerUnavailable, StorageError
from storage.leases import everywhere
from storage.partitions import Partitions
from storage.scripts import Scripts

log = logging.getLogger(__name__)


class Sweeper:
    """Looks for holds past their lease, every so many seconds."""

    def __init__(
        self,
        balances: Balances,
        partitions: Partitions,
        scripts: Scripts,
        *,
        lease_s: float,
        every_s: float,
        tally: Tally | None = None,
        runs_on: Callable[[int], bool] = everywhere,
    ) -> None:
        """
        Args:
            runs_on: The partitions that are swept here.
        """
        self._balances = balances
        self._partitions = partitions
        self._scripts = scripts
        self._lease_s = lease_s
        self._every_s = every_s
        self._tally = tally or Tally()
        self._runs_on = runs_on

    async def run(self) -> None:
        """Sweep until cancelled."""
        was_steady_since: float | None = None
        while True:
            await asyncio.sleep(self._every_s)
            try:
                if self._scripts.steady_since is None:
                    await self._ask()
                if self._scripts.steady_since != was_steady_since:
                    await self._partitions.check()
                    was_steady_since = self._scripts.steady_since
                if self.may_sweep():
                    await self.sweep_once()
            except StorageError as error:
                log.warning("sweep_failed", extra={"error": str(error)[:200]})

    def may_sweep(self) -> bool:
        """
        Whether Redis has answered for one lease without a failure.

        A Redis that slept longer than the leases finds all of them ended when it wakes;
        the callers that live need the time to renew theirs.
        """
        since = self._scripts.steady_since
        return since is not None and monotonic() - since >= self._lease_s

    async def _ask(self) -> None:
        """
        Ask something that changes nothing, so that it is seen when Redis answers again.

        Where nobody calls, nothing else is asked, and dead holds must be swept all the same.
        On a Cluster each partition may be on a server of its own.
        """
        await asyncio.gather(*map(self._ask_of, range(redis_keys.PARTITIONS)))

    async def _ask_of(self, p: int) -> None:
        keys = (redis_keys.meta(p), redis_keys.holds(p, ""), redis_keys.deadlines(p))
        # Epochs begin with 1, so every script refuses this one.
        await self._scripts.call("renew", keys, ("0", "", "", "1", "0"))

    async def sweep_once(self) -> int:
        """Settle every hold that is overdue; the number of those."""
        swept = 0
        for partition in range(redis_keys.PARTITIONS):
            if self._runs_on(partition) and partition not in self._partitions.frozen:
                swept += await self._sweep(partition)
        return swept

    async def _sweep(self, partition: int) -> int:
        swept = left = 0
        while overdue := await self._balances.overdue(partition, skip=left):
            for hold in overdue:
                done = await self._settled(hold)
                swept += done
                left += not done
        return swept

    async def _settled(self, hold: Overdue) -> bool:
        """Settle one hold; what is wrong with one must not keep the others waiting."""
        try:
            settled = await self._balances.sweep(business=hold.business, id=hold.id)
        except (NoHold, NoAccount):
            return False  # Somebody else was faster; the member went with the hold.
        except LedgerUnavailable as error:
            if error.reason != ACCOUNT_FROZEN:
                raise
            return False
        except StorageError as error:
            log.error("hold_not_swept", extra={"id": hold.id, "error": str(error)[:200]})
            return False
        if settled is None or not settled.is_new:
            return False
        self._tally.swept(settled)
        log.warning(
            "hold_swept",
            extra={"id": hold.id, "business": hold.business, "credits": str(settled.charged)},
        )
        return True
