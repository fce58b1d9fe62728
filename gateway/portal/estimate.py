"""POST /v1/credits/estimate: the most that a call can cost, before it is made."""

from __future__ import annotations

from time import time
from typing import Any

from gateway.endpoints import METERED, Endpoint
from gateway.errors import RequestRefused
from gateway.metered_call import MeteredCall
from gateway.quote import Quote, Quotes
from gateway.read_call import decoded
from metering.errors import ModelNotPriced
from metering.money import Credits
from metering.rates import RateCard
from storage.balances import Balance


def endpoint_of(body: bytes, named: str | None, *, card: RateCard) -> Endpoint:
    """
    Which endpoint a body is meant for: the one that is named, else the one it looks like.

    Args:
        named: As in "responses"; the names are those of a key's scopes.

    Raises:
        RequestRefused: There is none of that name, or its calls are no JSON.
    """
    fields = decoded(body)
    if named is None:
        named = _looks_like(fields if isinstance(fields, dict) else {}, card)
    for endpoint in METERED.values():
        if endpoint.name == named and endpoint.body == "json":
            return endpoint
    known = ", ".join(sorted(one.name for one in METERED.values() if one.body == "json"))
    raise RequestRefused(
        f"there is no estimate for {named[:64]!r}; send `?endpoint=` with one of {known}",
        param="endpoint",
    )


def _looks_like(fields: dict[str, Any], card: RateCard) -> str:
    """Chat unless a field, or what its model serves, says another."""
    try:
        serves = card.find(str(fields.get("model"))).serves
    except ModelNotPriced:
        serves = frozenset()
    if "messages" not in fields and "prompt" in fields:
        return "images.generations" if "images" in serves else "completions"
    if "messages" not in fields and "input" in fields:
        for family, name in (("embeddings", "embeddings"), ("speech", "audio.speech")):
            if family in serves:
                return name
        return "moderations" if "model" not in fields or "moderations" in serves else "responses"
    return "chat.completions"


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
