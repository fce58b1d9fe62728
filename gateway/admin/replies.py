"""
What the admin API answers, as types: `shown.py` makes these, and openapi.json tells of them.

A test holds real replies against them, so that neither can change alone.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema


class Reply(BaseModel):
    """A reply: every field is always there."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Row = TypeVar("Row", bound=Reply)

Id = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Amount = Annotated[str, Field(pattern=r"^-?[0-9]+\.[0-9]{2,12}$")]


class Business(Reply):
    """Who pays."""

    id: Id
    name: str
    owner_email: str
    owner_phone: str | None
    status: Literal["active", "suspended"]
    currency: str
    time_zone: str
    low_balance_threshold: Amount
    expires_after_months: int
    switches: list[str]
    upstream: str | None
    created_at: Moment


class RecordedBusiness(Business):
    """A business with its balance as recorded."""

    balance: Amount
    owed: Amount
    expires_at: Moment | None


class AppliedBusiness(RecordedBusiness):
    """A business that was changed; `applied`: whether Redis has it too."""

    applied: bool


class ChangedBusiness(Business):
    """A business whose status was set; `applied`: whether Redis has it too."""

    applied: bool


class KeyScopes(Reply):
    """What a key may be used for; empty endpoints and models mean all of them."""

    endpoints: list[str]
    models: list[str]
    features: list[str]


class Key(Reply):
    """An API key without its secret."""

    id: Id
    business_id: Id
    shown: str
    name: str
    scopes: KeyScopes
    default_feature: str | None
    credit_cap: Amount | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent: int | None
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None
    created_at: Moment


class ListedKey(Key):
    """A key in a list; `spent` is recorded of a key that has a cap, and else null."""

    spent: Amount | None


class IssuedKey(Key):
    """The one time that the secret, `key`, is shown."""

    key: str


class AnnouncedKey(Key):
    """A key that was changed or ended; `announced`: whether every process was told at once."""

    announced: bool


class TaxLine(Reply):
    """What one tax was of what was paid."""

    name: str
    percent: str
    amount: str
    included: bool


class Purchase(Reply):
    """A receipt."""

    id: Id
    business_id: Id
    user: str | None
    amount_paid: str
    currency: str
    credits_purchased: Amount
    bonus_credits: Amount
    provider: str
    payment_reference: str
    payment_status: Literal["pending", "completed", "failed", "refunded"]
    payment_method: str
    package: str | None
    tax_lines: list[TaxLine]
    note: str | None
    created_at: Moment
    completed_at: Moment | None
    applied_at: Moment | None


class AfterChange(Reply):
    """A balance after it was changed: as recorded, and what Redis has by now."""

    balance: Amount
    owed: Amount
    expires_at: Moment | None
    applied: bool
    available: Amount | None


class ToppedUp(AfterChange):
    """The receipt of a top-up."""

    purchase: Purchase


class Correction(Reply):
    """A correction by hand, with its sign."""

    id: Id
    business_id: Id
    credits: Amount
    reason: str
    at: Moment


class Adjusted(AfterChange):
    """A correction and the balance after it."""

    adjustment: Correction


class CreditsNow(Reply):
    """The credits of a business; `live` is false when Redis did not answer."""

    business_id: Id
    status: Literal["active", "suspended"]
    balance: Amount
    held: Amount | None
    available: Amount | None
    owed: Amount
    expires_at: Moment | None
    live: bool
    recorded_balance: Amount


class Transaction(Reply):
    """One call."""

    id: Id
    business_id: Id
    key_id: Id | None
    user: str | None
    feature: str | None
    endpoint: str
    model: str
    credits_used: Amount
    cost_to_us: Amount
    tokens_used: int
    usage: dict[str, int]
    usage_source: Literal["reported", "counted", "none"]
    estimated: bool
    timestamp: Moment
    success: bool
    http_status: int | None
    processing_time_ms: int | None
    first_byte_ms: int | None
    credits_held: Amount
    shortfall: Amount
    outcome: Literal["settled", "released", "orphaned", "adjusted"]
    adjusts: Id | None
    price_version: str
    upstream_request_id: str | None
    recorded_at: Moment


class Delivery(Reply):
    """An alert on its way through one channel."""

    id: Id
    channel: Literal["email", "webhook"]
    state: Literal["pending", "sent", "failed"]
    attempts: int
    next_attempt_at: Moment | None
    last_error: str | None
    sent_at: Moment | None


class Alert(Reply):
    """A warning that was raised, and what is sent of it."""

    id: Id
    business_id: Id
    alert_type: Literal["low_balance", "depleted", "expired", "expiring_soon"]
    current_balance: Amount
    threshold: Amount
    sent_at: Moment
    acknowledged: bool
    acknowledged_by: str | None
    acknowledged_at: Moment | None
    delivery_state: Literal["pending", "sent", "failed"]
    deliveries: list[Delivery]


class AuditEntry(Reply):
    """What an admin did."""

    id: Id
    at: Moment
    who: str
    what: str
    object_id: Id
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Part(Reply, Generic[Row]):
    """One page of a list; `next` is what `after` should be to go on, null on the last one."""

    data: list[Row]
    next: Id | None


class Document(BaseModel):
    """An OpenAPI document."""

    model_config = ConfigDict(extra="allow")

    openapi: str


class Found(BaseModel):
    """What an error says. `param` names the field, where it is about one."""

    model_config = ConfigDict(extra="forbid")

    message: str
    type: str
    param: str | None
    code: str
    metadata: dict[str, Any] = {}


class Error(BaseModel):
    """OpenAI's envelope, as everywhere."""

    model_config = ConfigDict(extra="forbid")

    error: Found
