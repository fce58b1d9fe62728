"""GET /v1/credits: what a business has now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from storage.accounts import Accounts
from storage.balances import Balances


async def credits_of(business: str, *, balances: Balances, accounts: Accounts) -> dict[str, Any]:
    """
    The balance in Redis: what decides the next call.

    `balance` is the total; SQL lags behind it by what is in the outbox. The burn rate is
    null until there is enough history to tell one.
    """
    balance = await accounts.opened(business, lambda: balances.read(business))
    expires_at = None
    if balance.expires_at_ms:
        expires_at = datetime.fromtimestamp(balance.expires_at_ms / 1000, UTC).isoformat()
    return {
        "balance": str(balance.total),
        "held": str(balance.held),
        "available": str(balance.available),
        "expires_at": expires_at,
        "burn_per_day": None,
        "runs_out_at": None,
    }
