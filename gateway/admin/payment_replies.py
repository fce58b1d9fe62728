"""What the admin API answers of payments, as types."""

from __future__ import annotations

from typing import Any, Literal

from gateway.admin.replies import AfterChange, Amount, Id, Moment, Purchase, Reply


class Refund(Reply):
    """Money that goes back; `taken`: the credits that Redis was asked to take back for it."""

    id: Id
    purchase_id: Id
    kind: Literal["refund", "dispute"]
    status: Literal["asked", "pending", "processed", "failed"]
    amount: str
    currency: str
    taken: Amount
    reason: str | None
    created_at: Moment
    finished_at: Moment | None


class Refunded(AfterChange):
    """A refund, its purchase, and the balance after it."""

    refund: Refund
    purchase: Purchase


class PaymentProblem(Reply):
    """A payment that a person decides about, with what was expected and what came."""

    id: Id
    provider: str
    reference: str
    why: str
    purchase_id: Id | None
    refund_id: Id | None
    expected: dict[str, Any]
    found: dict[str, Any]
    at: Moment
    decision: Literal["accepted", "dismissed"] | None
    decided_by: str | None
    decided_at: Moment | None
    reason: str | None


class Unsettled(Reply):
    """Something that was paid and is not credited; `id` is of the problem, webhook, purchase."""

    kind: Literal["problem", "webhook", "not_applied"]
    id: Id
    reference: str | None
    purchase_id: Id | None
    why: str
    since: Moment | None
