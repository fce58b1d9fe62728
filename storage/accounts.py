"""
Opening a business's account in Redis, from what SQL knows, when it is first needed.

An account that SQL says was opened in this epoch and that is not there has been lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from storage import redis_keys, snapshots
from storage.balances import Balances, NoAccount
from storage.database import Database
from storage.errors import LedgerUnavailable
from storage.partitions import Partitions

T = TypeVar("T")


class Accounts:
    """Opens accounts lazily."""

    def __init__(self, database: Database, balances: Balances, partitions: Partitions) -> None:
        self._database = database
        self._balances = balances
        self._partitions = partitions

    async def opened(self, business: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask; where the account is missing open it and ask once more."""
        try:
            return await ask()
        except NoAccount:
            await self.open(business)
            return await ask()

    async def open(self, business: str) -> None:
        """
        Open the account.

        SQL learns of it before the first change can be made by the caller, so that a
        change can never be lost together with the knowledge that there was an account.

        Raises:
            NotFound: There is no such business.
            LedgerUnavailable: It was open in this epoch and is gone: its partition is
                frozen now.
        """
        partition = redis_keys.partition_of(business)
        epoch = self._partitions.epoch(partition)
        async with self._database.read() as connection:
            snapshot = await snapshots.snapshot(connection, business)
        if snapshot.epoch == epoch:
            await self._must_be_there(business, partition)
            return
        await self._balances.open(snapshot)
        async with self._database.write() as connection:
            await snapshots.mark_opened(connection, business, epoch)

    async def _must_be_there(self, business: str, partition: int) -> None:
        """Another gateway may have opened it a moment ago; otherwise it was lost."""
        try:
            await self._balances.read(business)
        except NoAccount:
            reason = f"Redis has lost an account of partition {partition} that was open"
            await self._partitions.freeze(partition, reason)
            raise LedgerUnavailable(
                f"the ledger is frozen: {reason}; nothing is served until it has been recovered",
                reason="loss",
            ) from None
