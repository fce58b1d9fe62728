"""
Records as an admin sees them: plain names, amounts as decimal strings, times in UTC.

The API and the commands with `--json` show the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.currency import show_money
from metering.money import Credits
from storage.alerts import Alert
from storage.analytics import By, Group, Range, Used
from storage.audit_log import AuditEntry
from storage.balance_rows import LedgerRow
from storage.balances import Balance
from storage.businesses import Business
from storage.deliveries import Delivery
from storage.keys import ApiKey
from storage.movements import CreditEvent
from storage.payment_problems import Problem
from storage.purchases import Purchase
from storage.refunds import Refund
from storage.transactions import Transaction

Shown = dict[str, Any]


def business(one: Business, row: LedgerRow | None = None) -> Shown:
    """A business; with its balance as recorded where a row is given."""
    shown: Shown = {
        "id": one.id,
        "name": one.name,
        "owner_email": one.owner_email,
        "owner_phone": one.owner_phone,
        "status": one.status,
        "currency": one.currency,
        "time_zone": one.time_zone,
        "low_balance_threshold": str(one.low_balance_threshold),
        "expires_after_months": one.expires_after_months,
        "switches": sorted(one.switches),
        "upstream": one.upstream,
        "created_at": moment(one.created_at),
    }
    if row is not None:
        shown |= recorded(row)
    return shown


def key(one: ApiKey) -> Shown:
    """A key without its secret, which nobody has."""
    return {
        "id": one.id,
        "business_id": one.business,
        "shown": one.shown,
        "name": one.name,
        "scopes": {
            "endpoints": sorted(one.scopes.endpoints),
            "models": sorted(one.scopes.models),
            "features": sorted(one.scopes.features),
        },
        "default_feature": one.default_feature,
        "credit_cap": None if one.credit_cap is None else str(one.credit_cap),
        "requests_per_minute": one.limits.requests_per_minute,
        "tokens_per_minute": one.limits.tokens_per_minute,
        "concurrent": one.limits.concurrent,
        "expires_at": moment(one.expires_at),
        "revoked_at": moment(one.revoked_at),
        "last_used_at": moment(one.last_used_at),
        "created_at": moment(one.created_at),
    }


def listed_key(one: ApiKey, spent: Mapping[str, Credits]) -> Shown:
    """A key, and what is recorded that it spent of its cap."""
    of_cap = None if one.credit_cap is None else str(spent.get(one.id, Credits(0)))
    return {**key(one), "spent": of_cap}


def purchase(one: Purchase) -> Shown:
    """A receipt."""
    return {
        "id": one.id,
        "business_id": one.business,
        "user": one.user,
        "amount_paid": show_money(one.amount_paid_minor, one.currency),
        "currency": one.currency,
        "credits_purchased": str(one.credits_purchased),
        "bonus_credits": str(one.bonus_credits),
        "provider": one.provider,
        "payment_reference": one.payment_reference,
        "payment_status": one.payment_status,
        "payment_method": one.payment_method,
        "package": one.package,
        "tax_lines": list(one.tax_lines),
        "note": one.note,
        "created_at": moment(one.created_at),
        "completed_at": moment(one.completed_at),
        "applied_at": moment(one.applied_at),
    }


def refund(one: Refund, currency: str) -> Shown:
    """Money that goes back, in the currency that was paid in."""
    return {
        "id": one.id,
        "purchase_id": one.purchase,
        "kind": one.kind,
        "status": one.status,
        "amount": show_money(one.amount_minor, currency),
        "currency": currency,
        "taken": str(one.taken),
        "reason": one.reason,
        "created_at": moment(one.created_at),
        "finished_at": moment(one.finished_at),
    }


def problem(one: Problem) -> Shown:
    """A payment that a person decides about."""
    return {
        "id": one.id,
        "provider": one.provider,
        "reference": one.reference,
        "why": one.why,
        "purchase_id": one.purchase,
        "refund_id": one.refund,
        "expected": one.expected,
        "found": one.found,
        "at": moment(one.at),
        "decision": one.decision,
        "decided_by": one.decided_by,
        "decided_at": moment(one.decided_at),
        "reason": one.reason,
    }


def adjustment(event: CreditEvent, *, reason: str, at: datetime) -> Shown:
    """A correction by hand, with its sign."""
    credits = -event.amount if event.verb == "take" else event.amount
    return {
        "id": event.id,
        "business_id": event.business,
        "credits": str(credits),
        "reason": reason,
        "at": moment(at),
    }


def recorded(row: LedgerRow) -> Shown:
    """What SQL knows of a balance."""
    return {
        "balance": str(row.balance),
        "owed": str(row.owed),
        "expires_at": moment(row.expires_at),
    }


def credits(one: Business, row: LedgerRow, live: Balance | None, *, is_live: bool) -> Shown:
    """
    The credits of a business: as Redis has them now, and as SQL has recorded them.

    Args:
        live: What Redis knows; None when it has no account of the business yet.
        is_live: Whether Redis was asked and answered.
    """
    balance = live.total if live else row.balance
    # Where Redis has no account yet, no call can hold anything.
    held = live.held if live else Credits(0) if is_live else None
    return {
        "business_id": one.id,
        "status": one.status,
        "balance": str(balance),
        "held": str(held) if held is not None else None,
        "available": str(balance - held) if held is not None else None,
        "owed": str(live.owed if live else row.owed),
        "expires_at": moment(row.expires_at),
        "live": is_live,
        "recorded_balance": str(row.balance),
    }


def transaction(one: Transaction) -> Shown:
    """One call; credits and dollars as decimals."""
    return {
        "id": one.id,
        "business_id": one.business,
        "key_id": one.key_id,
        "user": one.user,
        "feature": one.feature,
        "endpoint": one.endpoint,
        "model": one.model,
        "credits_used": str(one.credits_used),
        "cost_to_us": str(one.cost_to_us),
        "tokens_used": one.tokens_used,
        "usage": one.usage,
        "usage_source": one.usage_source,
        "estimated": one.estimated,
        "timestamp": moment(one.timestamp),
        "success": one.success,
        "http_status": one.http_status,
        "processing_time_ms": one.processing_time_ms,
        "first_byte_ms": one.first_byte_ms,
        "credits_held": str(one.credits_held),
        "shortfall": str(one.shortfall),
        "outcome": one.outcome,
        "adjusts": one.adjusts,
        "price_version": one.price_version,
        "upstream_request_id": one.upstream_request_id,
        "recorded_at": moment(one.recorded_at),
    }


def alert(one: Alert, sent: Iterable[Delivery] = ()) -> Shown:
    """A warning that was raised, and what is sent of it."""
    return {
        "id": one.id,
        "business_id": one.business,
        "alert_type": one.alert_type,
        "current_balance": str(one.current_balance),
        "threshold": str(one.threshold),
        "sent_at": moment(one.sent_at),
        "acknowledged": one.acknowledged,
        "acknowledged_by": one.acknowledged_by,
        "acknowledged_at": moment(one.acknowledged_at),
        "delivery_state": one.delivery_state,
        "deliveries": [delivery(each) for each in sent],
    }


def delivery(one: Delivery) -> Shown:
    """An alert on its way through one channel."""
    return {
        "id": one.id,
        "channel": one.channel,
        "state": one.state,
        "attempts": one.attempts,
        "next_attempt_at": moment(one.next_attempt_at),
        "last_error": one.last_error,
        "sent_at": moment(one.sent_at),
    }


def usage_range(by: By, range: Range) -> Shown:
    """What was asked of the usage; `to` is the day after the last, and null for no end."""
    return {
        "by": by,
        "from": range.since.isoformat(),
        "to": range.until and range.until.isoformat(),
        "business_id": range.business,
    }


def usage_group(by: By, one: Group) -> Shown:
    """What one feature, user, model, business or day used; null for calls that named none."""
    if by == "business":
        return {"business_id": one.id, "business": one.name, **used(one.used)}
    return {by: one.id or None, **used(one.used)}


def used(sums: Used) -> Shown:
    """Sums of usage; credits and dollars as decimals."""
    return {
        "calls": sums.calls,
        "failed": sums.failed,
        "tokens": sums.tokens,
        "credits": str(sums.credits),
        "cost": str(sums.cost),
    }


def audit_entry(one: AuditEntry) -> Shown:
    """What an admin did."""
    return {
        "id": one.id,
        "at": moment(one.at),
        "who": one.who,
        "what": one.what,
        "object_id": one.object_id,
        "before": one.before,
        "after": one.after,
    }


def moment(at: datetime | None) -> str | None:
    """A time in UTC, to the millisecond: `2026-11-22T14:00:00.000Z`."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
