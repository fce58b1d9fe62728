"""An outbox entry as the columns of the tables it is stored in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from metering.money import MOST_MICROCREDITS
from metering.usage import TOKENS
from storage.ids import new_id
from storage.outbox import LATEST_MS, Entry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOKENS = frozenset(unit.value for unit in TOKENS)


class EntryNotUnderstood(ValueError):
    """An entry lacks what its kind must have, or says it in another way."""


# A hundred of them still fit a column together.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Row(msgspec.Struct):
    """What the gateway noted of a call; the ledger passed it on unread."""

    key_id: UUID | None = None
    user: str | None = None
    feature: str | None = None
    endpoint: str = ""
    model: str = ""
    usage: dict[str, _Count] = {}
    usage_source: Literal["reported", "counted", "none"] = "none"
    estimated: bool = False
    cost_pico: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] = 0
    started_at_ms: Annotated[int, msgspec.Meta(ge=0, le=LATEST_MS)] | None = None
    success: bool = False
    http_status: Annotated[int, msgspec.Meta(ge=0, le=999)] | None = None
    processing_ms: _Milliseconds | None = None
    first_byte_ms: _Milliseconds | None = None
    price_version: str = ""
    upstream_request_id: str | None = None
    adjusts: UUID | None = None


# Not strict: pico-dollars come as text, because a double would round them.
_rows = msgspec.json.Decoder(_Row, strict=False)


def number(entry: Entry, name: str) -> int:
    """
    An amount of the entry, in micro-credits.

    Raises:
        EntryNotUnderstood: There is none of that name, or it is larger than any can be.
    """
    try:
        amount = int(entry.fields[name])
    except (KeyError, ValueError):
        raise EntryNotUnderstood(f"{name} is not a whole number") from None
    if abs(amount) > MOST_MICROCREDITS:
        raise EntryNotUnderstood(f"{name} is more than any amount can be")
    return amount


def transaction(
    entry: Entry, *, charged: int, shortfall: int, seq: int | None, at: datetime
) -> dict[str, Any]:
    """
    A row of `ai_transactions`.

    Args:
        charged: Micro-credits; what the balance really lost.
        seq: None when it came from a rolled-back Redis.

    Raises:
        EntryNotUnderstood: Its row is not the JSON that it should be.
    """
    try:
        row = _rows.decode(entry.fields["row"] or "{}")
        outcome = entry.fields["outcome"]
    except (KeyError, msgspec.MsgspecError) as error:
        raise EntryNotUnderstood(f"its row is not understood: {error}") from None
    return {
        "id": entry.id,
        "business_id": entry.business,
        "key_id": row.key_id and str(row.key_id),
        "user": _fitting(row.user, 200),
        "feature": _fitting(row.feature, 100),
        "endpoint": _fitting(row.endpoint, 64),
        "model": _fitting(row.model, 128),
        "credits_used_microcredits": charged,
        "cost_to_us_picodollars": row.cost_pico,
        "tokens_used": sum(count for unit, count in row.usage.items() if unit in _TOKENS),
        "usage": row.usage,
        "usage_source": row.usage_source,
        "estimated": row.estimated,
        "timestamp": moment(entry.at_ms if row.started_at_ms is None else row.started_at_ms),
        "success": row.success,
        "http_status": row.http_status,
        "processing_time_ms": row.processing_ms,
        "first_byte_ms": row.first_byte_ms,
        "credits_held_microcredits": number(entry, "granted"),
        "shortfall_microcredits": shortfall,
        "outcome": outcome,
        "adjusts": row.adjusts and str(row.adjusts),
        "price_version": _fitting(row.price_version, 64),
        "upstream_request_id": _fitting(row.upstream_request_id, 128),
        "epoch": entry.epoch,
        "seq": seq,
        "recorded_at": at,
    }


def movement(entry: Entry, *, balance_id: str, amount: int, seq: int | None) -> dict[str, Any]:
    """A row of `credit_movements` for what expired or was taken back, in micro-credits."""
    return {
        "id": entry.id,
        "business_id": entry.business,
        "balance_id": balance_id,
        "kind": entry.kind,
        "amount_microcredits": -amount,
        "requested_microcredits": 0,
        "epoch": entry.epoch,
        "seq": seq,
        "event": {"owed_delta": entry.fields.get("owed_delta", "0")},
        "reference": entry.fields.get("reference") or None,
        "at": moment(entry.at_ms),
    }


def alerts(entry: Entry) -> list[dict[str, Any]]:
    """Rows of `ai_usage_alerts` for the thresholds that this entry crossed, or for its expiry."""
    types = [alert for alert in entry.fields.get("alerts", "").split(",") if alert]
    return [
        {
            "id": new_id(),
            "business_id": entry.business,
            "alert_type": alert_type,
            "current_balance_microcredits": entry.balance,
            "threshold_microcredits": number(entry, "low_at") if alert_type == "low_balance" else 0,
            "credit_seq": entry.credit_seq,
            "sent_at": moment(entry.at_ms),
            "acknowledged": False,
            "delivery_state": "pending",
        }
        for alert_type in types
    ]


def moment(at_ms: int) -> datetime:
    """Milliseconds since 1970 as a time."""
    return _EPOCH + timedelta(milliseconds=at_ms)


def _fitting(text: str | None, most: int) -> str | None:
    # Callers choose some of these; none of them may keep a finished call out of SQL.
    return text and text[:most].replace("\0", "")
