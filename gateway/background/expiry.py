"""
Books what is left of balances whose time has come: prepaid credits do not last for ever.

A call is refused from the very millisecond of the expiry, by the script that would hold
its credits; here the books follow. SQL says which balances ended, Redis how much was left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from storage import balance_rows, expiring_soon, redis_keys
from storage.answers import Expired, Unexpired
from storage.balance_rows import LedgerRow
from storage.database import Database
from storage.deliveries import Channel
from storage.errors import ACCOUNT_FROZEN, LedgerUnavailable, StorageError
from storage.leases import everywhere

log = logging.getLogger(__name__)

AT_ONCE = 500  # Balances that one SQL query looks for.

# A purchase of the last moment, still on its way into SQL when the balance ends, is there
# by then; it moves the expiry, and nothing is booked.
GRACE_S = 60.0

EVERY_S = 30.0  # Nobody waits for it: new calls are refused already.

Ending = Expired | Unexpired


class Expires(Protocol):
    """`storage.balances.Balances`, as far as expiring needs it."""

    async def expire(self, business: str, *, credit_seq: int) -> Ending: ...


class OpensAccounts(Protocol):
    """`storage.accounts.Accounts`, as far as expiring needs it."""

    async def opened(self, business: str, ask: Callable[[], Awaitable[Ending]]) -> Ending: ...


class AppliesCredits(Protocol):
    """`gateway.background.crediting.Crediting`, as far as expiring needs it."""

    async def apply(self, business: str) -> object: ...


class Expiry:
    """
    Ends balances, and looks at each again until nothing of it is left.

    Args:
        grace_s: How long after its expiry a balance is booked at the earliest.
        warns_days: The days before its expiry at which an owner is warned.
        channels: Through which owners are told.
    """

    def __init__(
        self,
        database: Database,
        balances: Expires,
        accounts: OpensAccounts,
        crediting: AppliesCredits,
        *,
        every_s: float = EVERY_S,
        grace_s: float = GRACE_S,
        runs_here: Callable[[], bool] = everywhere,
        warns_days: Collection[int] = (),
        channels: Collection[Channel] = (),
    ) -> None:
        self._database = database
        self._balances = balances
        self._accounts = accounts
        self._crediting = crediting
        self._every_s = every_s
        self._runs_here = runs_here
        self._grace = timedelta(seconds=grace_s)
        self._warns_days = warns_days
        self._channels = channels

    async def run(self) -> None:
        """Expire until cancelled, through any absence of SQL or Redis."""
        while True:
            try:
                if self._runs_here():
                    await self.expire_all(datetime.now(UTC))
                    await self.warn_all(datetime.now(UTC))
            except StorageError as error:
                log.warning("expiry_waits", extra={"reason": str(error)[:200]})
            except Exception:
                # A mistake of ours must not end the loop for every business.
                log.exception("expiry_failed")
            await asyncio.sleep(self._every_s)

    async def expire_all(self, now: datetime) -> int:
        """
        Book what is available of every balance that ended; one in trouble holds up no other.

        Returns:
            How many balances something was booked of.

        Raises:
            RecordsUnavailable: SQL is away.
            LedgerUnavailable: Redis is away, or a server of a Cluster: then everybody's
                whose partition answers was looked at.
        """
        booked, last = 0, None
        away: dict[int, LedgerUnavailable] = {}
        while rows := await self._ended(now - self._grace, last):
            for row in rows:
                partition = redis_keys.partition_of(row.business)
                try:
                    booked += partition not in away and await self._expired(row)
                except LedgerUnavailable as error:
                    away[partition] = error
            last = rows[-1].id
        if away:
            raise next(iter(away.values()))
        return booked

    async def warn_all(self, now: datetime) -> int:
        """
        Raise an alert for every balance that has passed a mark before its expiry.

        Returns:
            How many marks were passed.

        Raises:
            RecordsUnavailable: SQL is away.
        """
        whole, looked_at = 0, AT_ONCE
        while self._warns_days and looked_at == AT_ONCE:
            async with self._database.write() as connection:
                looked_at = await expiring_soon.warn(
                    connection,
                    days=self._warns_days,
                    channels=self._channels,
                    at=now,
                    limit=AT_ONCE,
                )
            whole += looked_at
        return whole

    async def _ended(self, before: datetime, after: str | None) -> list[LedgerRow]:
        async with self._database.read() as connection:
            return await balance_rows.ended(connection, before=before, after=after, limit=AT_ONCE)

    async def _expired(self, row: LedgerRow) -> bool:
        try:
            amount = await self.expire(row.business, credit_seq=row.credit_seq)
        except StorageError as error:
            if isinstance(error, LedgerUnavailable) and error.reason not in _OF_ONE:
                raise
            noted = {"business": row.business, "reason": str(error)[:200]}
            log.warning("credits_not_expired", extra=noted)
            return False
        if amount is None or not amount.amount:
            return False
        log.info("credits_expired", extra={"business": row.business, "credits": str(amount.amount)})
        return True

    async def expire(self, business: str, *, credit_seq: int) -> Expired | None:
        """
        Book what is available of one balance; None when its time has not come.

        A credit event that Redis does not have yet is applied first: it may have moved
        the expiry.

        Raises: As the ledger does.
        """
        ask = partial(self._balances.expire, business, credit_seq=credit_seq)
        answer = await self._accounts.opened(business, ask)
        if answer is Unexpired.BEHIND:
            await self._crediting.apply(business)
            answer = await self._accounts.opened(business, ask)
        return answer if isinstance(answer, Expired) else None


# Why one business, or those of one partition, cannot be asked, while others can.
_OF_ONE = frozenset({ACCOUNT_FROZEN, "frozen", "loss", "gap"})
