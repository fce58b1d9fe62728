"""
SQL → Redis: credit events are applied in their order, each once.

A top-up is applied right after it was written. The loop finds what another process wrote
(a top-up on the command line), or what was written while Redis was away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from storage import movements
from storage.balances import Balance
from storage.database import Database
from storage.errors import LedgerUnavailable, RecordsUnavailable, StorageError
from storage.movements import CreditEvent

log = logging.getLogger(__name__)

AT_ONCE = 500  # Events, or businesses, that one SQL query looks for.


class AppliesEvents(Protocol):
    """`storage.balances.Balances`, as far as crediting needs it."""

    async def credit(self, event: CreditEvent) -> str: ...

    async def read(self, business: str) -> Balance: ...


class OpensAccounts(Protocol):
    """`storage.accounts.Accounts`, as far as crediting needs it."""

    async def opened(self, business: str, ask: Callable[[], Awaitable[str]]) -> str: ...


class Crediting:
    """Brings every credit event to Redis."""

    def __init__(
        self,
        database: Database,
        balances: AppliesEvents,
        accounts: OpensAccounts,
        *,
        every_s: float = 1.0,
        runs_here: Callable[[], bool] = lambda: True,
    ) -> None:
        """
        Args:
            runs_here: Whether this process looks for what others wrote.
        """
        self._database = database
        self._balances = balances
        self._accounts = accounts
        self._every_s = every_s
        self._runs_here = runs_here

    async def run(self) -> None:
        """Apply what is not applied, at once and then regularly, until cancelled."""
        while True:
            try:
                if self._runs_here():
                    await self.apply_all()
            except RecordsUnavailable as error:
                log.warning("crediting_waits", extra={"reason": str(error)[:200]})
            except Exception:
                # A mistake of ours must not end the only way of a purchase into Redis.
                log.exception("crediting_failed")
            await asyncio.sleep(self._every_s)

    async def apply_all(self) -> None:
        """
        Apply the events of every business that has some; one in trouble keeps no other waiting.

        Raises:
            RecordsUnavailable: SQL is away.
        """
        businesses = await self._unapplied(None)
        while businesses:
            for business in businesses:
                try:
                    await self.apply(business)
                except StorageError as error:
                    noted = {"business": business, "reason": str(error)[:200]}
                    log.warning("credits_not_applied", extra=noted)
            # Those in trouble stay unapplied, so the next page begins after them.
            businesses = await self._unapplied(businesses[-1])

    async def apply(self, business: str) -> None:
        """
        Apply the events of one business, in their order.

        Raises:
            LedgerUnavailable: Redis is away or frozen; the loop tries again.
            RecordsUnavailable: SQL is away; what was applied stays so.
        """
        await self._apply(business, await self._pending(business, None))

    async def catch_up(self, business: str) -> None:
        """
        Apply what Redis lacks of one business, though it may be noted as applied.

        Raises:
            LedgerUnavailable, RecordsUnavailable: As `apply`.
        """
        has = (await self._balances.read(business)).credit_seq
        await self._apply(business, await self._pending(business, has))

    async def _apply(self, business: str, events: list[CreditEvent]) -> None:
        while events:
            refused = await self._first_refused(events)
            if refused is not None:
                events = await self._where_redis_is(business)
                continue
            last = events[-1].credit_seq
            async with self._database.write() as connection:
                await movements.mark_applied(connection, business, last, datetime.now(UTC))
            events = await self._pending(business, last) if len(events) == AT_ONCE else []

    async def _first_refused(self, events: list[CreditEvent]) -> CreditEvent | None:
        """Apply events; the one that Redis cannot take because it lacks an earlier one."""
        for event in events:
            ask = partial(self._balances.credit, event)
            if await self._accounts.opened(event.business, ask) == "GAP":
                return event
        return None

    async def _where_redis_is(self, business: str) -> list[CreditEvent]:
        """The events that Redis lacks, though they may be noted as applied."""
        has = (await self._balances.read(business)).credit_seq
        events = await self._pending(business, has)
        if not events or events[0].credit_seq != has + 1:
            raise LedgerUnavailable(
                f"Redis waits for credit event {has + 1} of business {business}, "
                "and SQL does not have it",
                reason="gap",
            )
        return events

    async def _unapplied(self, after: str | None) -> list[str]:
        async with self._database.read() as connection:
            return await movements.unapplied_businesses(connection, AT_ONCE, after=after)

    async def _pending(self, business: str, after_seq: int | None) -> list[CreditEvent]:
        async with self._database.read() as connection:
            return await movements.pending(connection, business, after_seq, AT_ONCE)
