"""What `GET /admin/analytics/usage` answers, as types."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from gateway.admin.replies import Amount, Id, Reply

Day = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]


class Sums(Reply):
    """What was used: `cost` is in dollars."""

    calls: int
    failed: int
    tokens: int
    credits: Amount
    cost: Amount


class FeatureUsage(Sums):
    """Of one feature; null for calls that named none."""

    feature: str | None


class UserUsage(Sums):
    """Of one of the app's own users; null for calls that named none."""

    user: str | None


class ModelUsage(Sums):
    """Of one model."""

    model: str | None


class DayUsage(Sums):
    """Of one day of the businesses' own."""

    day: Day


class BusinessUsage(Sums):
    """Of one business."""

    business_id: Id
    business: str


class UsagePage(Reply):
    """Groups in the order of their names; `totals` are those of the whole range."""

    by: Literal["feature", "user", "model", "business", "day"]
    from_: Annotated[Day, Field(alias="from")]
    to: Day | None
    business_id: Id | None
    data: list[FeatureUsage | UserUsage | ModelUsage | DayUsage | BusinessUsage]
    totals: Sums
    next: str | None
