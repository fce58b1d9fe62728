"""Asks the ledger to hold what a call may cost: its ceiling, or what its prompt needs."""

from __future__ import annotations

import asyncio

from gateway.background.settler import Settler
from gateway.errors import said_of
from gateway.metered_call import MeteredCall
from gateway.quote import Quotes
from gateway.shortage import with_figures
from metering.money import Credits
from storage.accounts import Accounts
from storage.balances import Balances, Hold
from storage.errors import IN_DOUBT, InsufficientCredits, LedgerUnavailable


class Holding:
    """Holds credits for calls, before anything of them is forwarded."""

    def __init__(
        self,
        *,
        balances: Balances,
        accounts: Accounts,
        quotes: Quotes,
        settler: Settler,
        lease_s: float,
    ) -> None:
        self._balances = balances
        self._accounts = accounts
        self._quotes = quotes
        self._settler = settler
        self._lease_s = lease_s

    async def hold(self, metered: MeteredCall) -> Hold:
        """
        Set the ceiling aside, or, when that is too much, what the counted prompt needs.

        Bytes bound tokens four times too high; that costs nothing while the balance is
        ample, and spares the counting. `metered.quote` is then the counted one.

        Raises:
            LedgerRefusal: One of its kinds, with what would help; nothing is held.
            LedgerUnavailable: Nothing may be forwarded.
        """
        quote = metered.quote
        ceiling = quote.ceiling.credits_used
        try:
            return await self._ask(metered, ceiling=ceiling, floor=ceiling)
        except InsufficientCredits as refused:
            least = self._quotes.least(quote)
            if refused.total < least:
                # Not even the shortest reply is affordable; counting would not help.
                raise with_figures(refused, quote, self._quotes, required=ceiling) from None
            quote = metered.quote = await self._quotes.tighten(quote)
            floor = self._quotes.floor(quote)
            ceiling = quote.ceiling.credits_used
            try:
                return await self._ask(metered, ceiling=ceiling, floor=floor)
            except InsufficientCredits as refused:
                raise with_figures(refused, quote, self._quotes, required=ceiling) from None

    async def _ask(self, metered: MeteredCall, *, ceiling: Credits, floor: Credits) -> Hold:
        business = metered.holder.business

        async def ask() -> Hold:
            return await self._balances.hold(
                business=business,
                id=metered.id,
                ceiling=ceiling,
                floor=floor,
                lease_s=self._lease_s,
                note=metered.note(),
            )

        try:
            return await self._accounts.opened(business, ask)
        except (LedgerUnavailable, asyncio.CancelledError) as error:
            if getattr(error, "reason", IN_DOUBT) == IN_DOUBT:
                # It may have been held all the same; nothing was forwarded, so it returns.
                metered.http_status = said_of(error).status
                self._settler.settle(metered.abandoned())
            raise
