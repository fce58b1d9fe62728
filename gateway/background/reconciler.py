"""
Proves the shape of every account, one after the other, as long as the gateway runs.

What is held must be what the open holds add up to. An account of which that is not true
is frozen by the script that found it, and somebody is called. Its two counters are held
against SQL's as well, so that a store that has forgotten something is noticed though
nobody calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from storage import balance_rows, redis_keys, snapshots
from storage.answers import AccountWrong, Audited, NoAccount
from storage.database import Database
from storage.errors import ACCOUNT_FROZEN, LedgerUnavailable, RecordsUnavailable, StorageError
from storage.leases import everywhere
from storage.snapshots import Opened

log = logging.getLogger(__name__)

AT_ONCE = 500  # Accounts that one SQL query looks for.
MOST_PER_S = 50.0  # An audit takes Redis some tens of microseconds: a few thousandths of it.
# Why one business, or those of one partition, cannot be asked, while others can.
_OF_ONE = frozenset({ACCOUNT_FROZEN, "frozen", "loss", "gap"})
EVERY_S = 30.0  # Between two rounds; those of a thousand accounts take 20 seconds each.


class Audits(Protocol):
    """`storage.balances.Balances`, as far as an audit needs it."""

    async def audit(self, business: str) -> Audited: ...


class OpensAccounts(Protocol):
    """`storage.accounts.Accounts`, as far as an audit needs it."""

    async def open(self, business: str) -> None: ...


class CatchesUp(Protocol):
    """`gateway.background.crediting.Crediting`, as far as an audit needs it."""

    async def catch_up(self, business: str) -> None: ...


class KnowsEpochs(Protocol):
    """`storage.partitions.Partitions`, as far as an audit needs it."""

    @property
    def frozen(self) -> dict[int, str]: ...

    def epoch(self, partition: int) -> int: ...

    async def freeze(self, partition: int, reason: str) -> None: ...


class Reconciler:
    """
    Audits every account that is open.

    Args:
        most_per_s: Accounts a second; the calls of businesses go first.
        every_s: The pause after each round.
    """

    def __init__(
        self,
        database: Database,
        balances: Audits,
        accounts: OpensAccounts,
        partitions: KnowsEpochs,
        crediting: CatchesUp,
        *,
        most_per_s: float = MOST_PER_S,
        every_s: float = EVERY_S,
        runs_here: Callable[[], bool] = everywhere,
    ) -> None:
        self._database = database
        self._balances = balances
        self._accounts = accounts
        self._partitions = partitions
        self._crediting = crediting
        self._pause_s = 1 / most_per_s
        self._every_s = every_s
        self._runs_here = runs_here

    async def run(self) -> None:
        """Audit until cancelled, through any absence of SQL or Redis."""
        while True:
            try:
                if self._runs_here():
                    await self.audit_all()
            except StorageError as error:
                log.warning("reconciler_waits", extra={"reason": str(error)[:200]})
            except Exception:
                # A mistake of ours must not end the watch over the accounts.
                log.exception("reconciler_failed")
            await asyncio.sleep(self._every_s)

    async def audit_all(self) -> int:
        """
        Audit each open account once.

        Returns:
            How many are not what they must be.

        Raises:
            RecordsUnavailable: SQL is away.
            LedgerUnavailable: Redis is away, or a server of a Cluster: then every account
                whose partition answers was audited.
        """
        wrong, last = 0, None
        away: dict[int, LedgerUnavailable] = {}
        while some := await self._opened(last):
            for each in some:
                partition = redis_keys.partition_of(each.business)
                if partition not in away and self._is_open(each):
                    try:
                        wrong += not await self._is_sound(each)
                    except LedgerUnavailable as error:
                        away[partition] = error
                    await asyncio.sleep(self._pause_s)
            last = some[-1].business
        if away:
            raise next(iter(away.values()))
        return wrong

    async def _opened(self, after: str | None) -> list[Opened]:
        async with self._database.read() as connection:
            return await snapshots.opened_page(connection, after=after, limit=AT_ONCE)

    def _is_open(self, opened: Opened) -> bool:
        # One of an older epoch is opened anew by the next call of its business.
        partition = redis_keys.partition_of(opened.business)
        if partition in self._partitions.frozen:
            return False
        return self._partitions.epoch(partition) == opened.epoch

    async def _is_sound(self, opened: Opened) -> bool:
        business = opened.business
        try:
            return await self._audit(opened)
        except AccountWrong as wrong:
            log.critical("account_wrong", extra={"business": business, "why": wrong.why})
            return False
        except RecordsUnavailable:
            raise
        except StorageError as error:
            if isinstance(error, LedgerUnavailable) and error.reason not in _OF_ONE:
                raise
            is_frozen = getattr(error, "reason", "") == ACCOUNT_FROZEN
            noted = {"business": business, "why": str(error)[:200]}
            log.error("account_stays_frozen" if is_frozen else "account_not_audited", extra=noted)
            return False

    async def _audit(self, opened: Opened) -> bool:
        try:
            audited = await self._balances.audit(opened.business)
        except NoAccount:
            # Opening it finds out that it was lost, and freezes its partition.
            await self._accounts.open(opened.business)
            return True
        return await self._agrees(opened, audited)

    async def _agrees(self, opened: Opened, audited: Audited) -> bool:
        """Whether neither store has forgotten what the other one knows."""
        business = opened.business
        if audited.seq < opened.seq:
            # SQL was asked first, and learns every change from Redis.
            how = f"Redis was rolled back: business {business} is at seq {audited.seq}"
            return await self._freeze(business, f"{how}, and seq {opened.seq} was recorded before")
        if audited.credit_seq > opened.credit_seq:
            written = await self._credit_seq(business)
            if audited.credit_seq > written:
                how = f"SQL was rolled back: business {business} is at credit event {written}"
                has = f"and Redis has applied {audited.credit_seq}"
                return await self._freeze(business, f"{how}, {has}")
        if audited.credit_seq < opened.credit_seq:
            # On its way, or forgotten since it was applied: Redis takes it once either way.
            await self._crediting.catch_up(business)
        return True

    async def _credit_seq(self, business: str) -> int:
        async with self._database.read() as connection:
            return (await balance_rows.read(connection, business)).credit_seq

    async def _freeze(self, business: str, reason: str) -> bool:
        await self._partitions.freeze(redis_keys.partition_of(business), reason)
        return False
