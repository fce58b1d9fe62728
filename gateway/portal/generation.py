"""GET /v1/generation: one finished call of the business, in OpenRouter's field names."""

from __future__ import annotations

from typing import Any

from gateway.errors import (
    GenerationPending,
    GenerationUnknown,
    RequestRefused,
)
from metering.usage import Unit, Usage
from storage.calls import Calls, Running
from storage.errors import NotFound
from storage.transactions import Transaction


async def generation_of(business: str, ids: list[str], *, calls: Calls) -> dict[str, Any]:
    """
    What is known of a call by its transaction id; what is not known is left out.

    Args:
        ids: What the query says; it must say one.

    Raises:
        GenerationUnknown: This business has no such call. Another's is told the same way.
        GenerationPending: It is not finished yet.
    """
    if len(ids) != 1:
        raise RequestRefused(
            "ask for one call, as /v1/generation?id=…, with the x-transaction-id of its reply",
            param="id",
        )
    try:
        return {"data": shown(await calls.find(business, ids[0]))}
    except NotFound:
        raise GenerationUnknown(
            "there is no call with this id; it is the x-transaction-id of the reply", param="id"
        ) from None
    except Running:
        raise GenerationPending(
            "this call has not been settled yet; ask again in a moment", param="id"
        ) from None


def shown(call: Transaction) -> dict[str, Any]:
    """A call as its business sees it: what it paid, and never what OpenAI took from us."""
    usage = Usage.from_names(call.usage)
    into, out = usage.input_tokens, usage.tokens - usage.input_tokens
    return {
        "id": call.id,
        "upstream_id": call.upstream_request_id,
        "endpoint": call.endpoint,
        "model": call.model,
        "created_at": call.timestamp.isoformat(timespec="milliseconds"),
        "feature": call.feature,
        "user": call.user,
        "http_status": call.http_status,
        "success": call.success,
        "outcome": call.outcome,
        "latency": call.first_byte_ms,
        "generation_time": _between(call.first_byte_ms, call.processing_time_ms),
        "tokens_prompt": into,
        "tokens_completion": out,
        "native_tokens_prompt": into,
        "native_tokens_completion": out,
        "native_tokens_cached": usage[Unit.CACHED_INPUT],
        "usage_source": call.usage_source,
        "usage": str(call.credits_used),
        "total_cost": str(call.credits_used),
        "credits_held": str(call.credits_held),
        "price_version": call.price_version,
    }


def _between(first_ms: int | None, last_ms: int | None) -> int | None:
    return None if first_ms is None or last_ms is None else max(0, last_ms - first_ms)
