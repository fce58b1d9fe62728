"""Asks the ledger to hold what a call may cost: its ceiling, or what its prompt needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.background.settler import Settler
from gateway.error_replies import said_of
from gateway.errors import KeyLimitExceeded
from gateway.metered_call import MeteredCall
from gateway.quote import Quote, Quotes
from gateway.shortage import check_balance, is_affordable, with_figures
from metering.money import Credits
from storage.accounts import Accounts
from storage.balances import Balances, Hold
from storage.errors import IN_DOUBT, CapReached, InsufficientCredits, LedgerUnavailable, Limited
from storage.keys import KeyHolder
from storage.limits import KeyLimits, Limits
from storage.spending import Spending


class Holding:
    """
    Holds credits for calls, before anything of them is forwarded.

    Args:
        limits: Those of keys that have none of their own.
    """

    def __init__(
        self,
        *,
        balances: Balances,
        accounts: Accounts,
        spending: Spending,
        quotes: Quotes,
        settler: Settler,
        lease_s: float,
        limits: Limits,
    ) -> None:
        self._balances = balances
        self._accounts = accounts
        self._spending = spending
        self._quotes = quotes
        self._settler = settler
        self._lease_s = lease_s
        self._limits = limits

    async def hold(self, metered: MeteredCall) -> Hold:
        """
        Set the ceiling aside, or, when that is too much, what the counted prompt needs.

        Bytes bound tokens four times too high; that costs nothing while the balance and the
        limits of the key are ample, and spares the counting. `metered.quote` is then the
        counted one.

        Raises:
            LedgerRefusal: One of its kinds, with what would help; nothing is held.
            KeyLimitExceeded: Its key may not use so many tokens, however long it waits.
            LedgerUnavailable: Nothing may be forwarded.
        """
        holder = metered.holder
        limits = KeyLimits.of(holder.key_id, holder.limits.or_else(self._limits), holder.credit_cap)
        if limits is not None:
            metered.has_limits = True
            await self._keep_within(metered, limits.limits.tokens_per_minute)
        ceiling = metered.quote.ceiling.credits_used
        try:
            return await self._ask(metered, limits, ceiling=ceiling, floor=ceiling)
        except Limited as refused:
            if not _may_fit_when_counted(metered.quote, refused):
                raise
        except (InsufficientCredits, CapReached) as refused:
            if not is_affordable(refused, self._quotes.least(metered.quote)):
                # Not even the shortest reply is affordable; counting would not help.
                raise with_figures(refused, metered.quote, self._quotes, required=ceiling) from None
        quote = metered.quote = await self._quotes.tighten(metered.quote)
        ceiling, floor = quote.ceiling.credits_used, self._quotes.floor(quote)
        try:
            return await self._ask(metered, limits, ceiling=ceiling, floor=floor)
        except (InsufficientCredits, CapReached) as refused:
            raise with_figures(refused, quote, self._quotes, required=ceiling) from None

    async def check_credits(self, holder: KeyHolder) -> None:
        """
        Whether there is anything to hold, before anything is asked for.

        Raises:
            InsufficientCredits, CreditsExpired, CreditsOwed, BusinessSuspended
            LedgerUnavailable: Nothing may be forwarded.
        """
        business = holder.business
        balance = await self._accounts.opened(business, lambda: self._balances.read(business))
        check_balance(balance)

    async def _keep_within(self, metered: MeteredCall, per_minute: int | None) -> None:
        """Fit a call to what its key may use in a minute, when even that is too little for it."""
        if per_minute is None or metered.quote.tokens <= per_minute:
            return
        quote = metered.quote = await self._quotes.tighten(metered.quote)
        if quote.tokens <= per_minute:
            return
        shorter = self._quotes.shorten(quote, per_minute)
        if shorter is None:
            raise KeyLimitExceeded(
                f"this call may use {quote.tokens} tokens, {quote.input_tokens} of them for its "
                f"prompt, and this key may use {per_minute} in a minute; lower "
                "max_completion_tokens, shorten the prompt, or ask for a higher limit",
                metadata={"required_tokens": quote.tokens, "tokens_per_minute": per_minute},
            )
        metered.quote, metered.shortened = shorter, True

    async def _ask(
        self, metered: MeteredCall, limits: KeyLimits | None, *, ceiling: Credits, floor: Credits
    ) -> Hold:
        business = metered.holder.business

        async def ask() -> Hold:
            return await self._balances.hold(
                business=business,
                id=metered.id,
                ceiling=ceiling,
                floor=floor,
                lease_s=self._lease_s,
                note=metered.note(),
                limits=limits,
                tokens=metered.quote.tokens,
            )

        try:
            return await self._accounts.opened(business, self._counting(business, limits, ask))
        except (LedgerUnavailable, asyncio.CancelledError) as error:
            if getattr(error, "reason", IN_DOUBT) == IN_DOUBT:
                # It may have been held all the same; nothing was forwarded, so it returns.
                metered.http_status = said_of(error).status
                self._settler.settle(metered.abandoned())
            raise

    def _counting(
        self, business: str, limits: KeyLimits | None, ask: Callable[[], Awaitable[Hold]]
    ) -> Callable[[], Awaitable[Hold]]:
        """The same question; a key with a cap has what it spent counted first."""
        if limits is None or limits.credit_cap is None:
            return ask
        key = limits.key
        return lambda: self._spending.counted(business, key, ask)


def _may_fit_when_counted(quote: Quote, refused: Limited) -> bool:
    """Whether it was for its tokens, and a prompt of one token would have been let in."""
    if refused.which != "tokens" or refused.rates is None or refused.rates.tokens is None:
        return False
    return quote.tokens - quote.input_tokens < refused.rates.tokens.remaining
