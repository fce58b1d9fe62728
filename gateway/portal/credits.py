"""GET /v1/credits: what a business has now."""

from __future__ import annotations

from typing import Any

from storage.accounts import Accounts
from storage.answers import iso_of
from storage.balances import Balances


async def credits_of(business: str, *, balances: Balances, accounts: Accounts) -> dict[str, Any]:
    """
    The balance in Redis: what decides the next call.

    `balance` is the total; SQL lags behind it by what is in the outbox. The burn rate is
    null until there is enough history to tell one.
    """
    balance = await accounts.opened(business, lambda: balances.read(business))
    return {
        "balance": str(balance.total),
        "held": str(balance.held),
        "owed": str(balance.owed),
        "available": str(balance.available),
        "expires_at": iso_of(balance.expires_at_ms),
        "burn_per_day": None,
        "runs_out_at": None,
    }
