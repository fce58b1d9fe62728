"""
Settles the holds of callers that died: those whose lease has ended.

A hold that is swept is charged what its checkpoint says; the script decides, by the
clock of Redis, whether the lease has really ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from time import monotonic

from gateway.tally import Tally
from storage import redis_keys
from storage.balances import Balances, NoAccount, NoHold, Overdue
from storage.errors import ACCOUNT_FROZEN, LedgerUnavailable, StorageError
from storage.leases import everywhere
from storage.partitions import Partitions
from storage.scripts import Scripts

log = logging.getLogger(__name__)

_ALL = range(redis_keys.PARTITIONS)


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
        # Partition → since when its server was steady when it was last compared with SQL.
        self._compared: dict[int, float | None] = {}

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.look()
            except StorageError as error:
                log.warning("sweep_failed", extra={"error": str(error)[:200]})

    async def look(self) -> int:
        """
        Sweep the partitions whose server has been there for long enough.

        Returns:
            How many holds were settled.

        Raises:
            StorageError: A server of a Cluster, or SQL, is away; the others were swept.
        """
        since = self._scripts.steady_since
        failed = await self._ask([p for p in _ALL if since(p) is None])
        if any(since(p) is not None and since(p) != self._compared.get(p) for p in _ALL):
            seen = {p: since(p) for p in _ALL}
            self._compared |= {p: seen[p] for p in await self._partitions.check()}
        swept = await self.sweep_once([p for p in _ALL if self.may_sweep(p)])
        if failed is not None:
            raise failed
        return swept

    def may_sweep(self, partition: int) -> bool:
        """
        Whether Redis has answered for one lease without a failure, and has lost nothing.

        A Redis that slept longer than the leases finds all of them ended when it wakes;
        the callers that live need the time to renew theirs. On a Cluster each server
        sleeps by itself.
        """
        since = self._scripts.steady_since(partition)
        if since is None or since != self._compared.get(partition):
            return False
        return monotonic() - since >= self._lease_s

    async def _ask(self, partitions: Iterable[int]) -> StorageError | None:
        """
        Ask something that changes nothing, so that it is seen when Redis answers again.

        Where nobody calls, nothing else is asked, and dead holds must be swept all the same.
        On a Cluster each partition may be on a server of its own.
        """
        answers = await asyncio.gather(*map(self._ask_of, partitions))
        return next((each for each in answers if each is not None), None)

    async def _ask_of(self, p: int) -> StorageError | None:
        keys = (redis_keys.meta(p), redis_keys.holds(p, ""), redis_keys.deadlines(p))
        try:
            # Epochs begin with 1, so every script refuses this one.
            await self._scripts.call("renew", keys, ("0", "", "", "1", "0"))
        except StorageError as error:
            return error
        return None

    async def sweep_once(self, partitions: Iterable[int] = _ALL) -> int:
        """
        Settle every hold that is overdue; the number of those.

        Raises:
            StorageError: A partition does not answer; the others were swept.
        """
        swept, failed = 0, None
        for partition in partitions:
            if self._runs_on(partition) and partition not in self._partitions.frozen:
                try:
                    swept += await self._sweep(partition)
                except StorageError as error:
                    failed = failed or error
        if failed is not None:
            raise failed
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
