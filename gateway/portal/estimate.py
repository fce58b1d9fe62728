"""POST /v1/credits/estimate: the most that a call can cost, before it is made."""

from __future__ import annotations

from time import time
from typing import Any

from gateway.metered_call import MeteredCall
from gateway.quote import Quote, Quotes
from metering.money import Credits
from storage.balances import Balance


async def estimate_of(call: MeteredCall, balance: Balance, *, quotes: Quotes) -> dict[str, Any]:
    """
    What the call would be held for, and whether it would be served now.

    Nothing is held and nothing is forwarded. The prompt is counted in tokens, off the event
    loop; the answer is an upper bound all the same, as the ceiling of the real call is.
    """
    by_bytes = call.quote
    counted = await quotes.tighten(by_bytes)
    ceiling, floor = counted.ceiling, quotes.floor(counted)
    refusal = _refusal(balance, floor)
    return {
        "object": "credits.estimate",
        "endpoint": counted.call.endpoint,
        "model": counted.row.id,
        "feature": counted.labels.feature,
        "fixed_price": counted.has_fixed_price,
        "price_version": ceiling.price_version,
        "ceiling": str(ceiling.credits_used),
        "held": str(min(_held(by_bytes, counted, balance.available), balance.available)),
        "least": str(floor),
        "input_tokens": {"bound": by_bytes.input_tokens, "counted": counted.input_tokens},
        "output_limit": counted.output_limit,
        "choices": counted.choices,
        "available": str(balance.available),
        "affordable": refusal is None,
        "refusal": refusal,
        "fitted": refusal is None and balance.available < ceiling.credits_used,
        "affordable_output_tokens": min(
            counted.output_limit, quotes.affordable_output(counted, balance.available)
        ),
    }


def _held(by_bytes: Quote, counted: Quote, available: Credits) -> Credits:
    """What would be asked for: tokens are only counted when the bytes bound too much."""
    ample = by_bytes.ceiling.credits_used
    return ample if ample <= available else counted.ceiling.credits_used


def _refusal(balance: Balance, floor: Credits) -> str | None:
    """The code that the call would be refused with now, in the order of `hold.lua`."""
    if balance.status != "active":
        return "business_suspended"
    if balance.owed > Credits(0):
        return "credits_owed"
    if 0 < balance.expires_at_ms <= time() * 1000:
        return "credits_expired"
    if balance.available < floor:
        return "credits_held" if balance.total >= floor else "insufficient_credits"
    return None
