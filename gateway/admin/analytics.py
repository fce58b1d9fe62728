"""Analytics in the admin API: what was used, summed by SQL over the whole range."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    StrictStr,
    WithJsonSchema,
    model_validator,
)
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.admin import shown
from gateway.admin.asking import PAGE_DEFAULT, PAGE_MAX
from gateway.admin.described import answers
from gateway.admin.desk import Desk
from gateway.admin.forms import Form, filled
from gateway.admin.refusals import FieldRefused
from gateway.admin.usage_replies import UsagePage
from storage import analytics, businesses
from storage.analytics import By, Range

DAYS = 30  # As many as are shown when no first day is asked for.


def _day(value: Any) -> date:
    # Not every form of ISO 8601: 20261101 is more often a mistake than a day.
    if isinstance(value, str) and len(value) == len("2026-11-01"):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError("should be a day such as 2026-11-01")


def _id(value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise ValueError("should be the id of a business") from None


def _rows(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4:
        value = int(value)
    if not isinstance(value, int) or not 1 <= value <= PAGE_MAX:
        raise ValueError(f"should be 1 to {PAGE_MAX}")
    return value


def _key(text: str) -> str:
    if "\0" in text:
        raise ValueError("should be what `next` says")
    return text


def _fits(by: By, after: str) -> bool:
    try:
        if by == "day":
            _day(after)
        elif by == "business":
            _id(after)
    except ValueError:
        return False
    return True


Day = Annotated[date, PlainValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Rows = Annotated[
    int,
    PlainValidator(_rows),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": PAGE_MAX}),
]
Business = Annotated[
    StrictStr, AfterValidator(_id), WithJsonSchema({"type": "string", "format": "uuid"})
]


class UsageAsked(Form):
    """What is asked of the usage: its groups, its days, whose, and which part of the list."""

    by: By
    since: Annotated[Day | None, Field(alias="from")] = None
    until: Annotated[Day | None, Field(alias="to")] = None
    business: Business | None = None
    limit: Rows = PAGE_DEFAULT
    after: Annotated[StrictStr, Field(max_length=200), AfterValidator(_key)] | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.since and self.until and self.since >= self.until:
            raise ValueError("to: should be after from; it is the day after the last one")
        if self.after is not None and not _fits(self.by, self.after):
            raise ValueError("after: should be what `next` says")
        return self

    def range_at(self, now: datetime) -> Range:
        """The days that are meant; the last 30 where no first one is named."""
        last = self.until or now.astimezone(UTC).date() + timedelta(days=1)
        try:
            since = self.since or last - timedelta(days=DAYS)
        except OverflowError:
            since = date.min
        return Range(since, self.until, self.business)


class Analytics:
    """Usage, by feature, user, model, business or day."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """The path under which this noun is found."""
        return [Route("/admin/analytics/usage", self.usage, methods=["GET"])]

    @answers(UsagePage, asks=UsageAsked, refuses=(404,))
    async def usage(self, request: Request) -> JSONResponse:
        """Groups in the order of their names, and the totals of the whole range."""
        asked = filled(UsageAsked, _once_each(request.query_params))
        range = asked.range_at(self._desk.clock())
        async with self._desk.database.read() as connection:
            if range.business is not None:
                await businesses.get(connection, range.business)
            found = await analytics.page(
                connection, asked.by, range, limit=asked.limit + 1, after=asked.after
            )
            totals = await analytics.totals(connection, range)
        groups = found[: asked.limit]
        more = len(found) > asked.limit
        return JSONResponse(
            {
                **shown.usage_range(asked.by, range),
                "data": [shown.usage_group(asked.by, group) for group in groups],
                "totals": shown.used(totals),
                "next": groups[-1].id if more else None,
            }
        )


def _once_each(asked: QueryParams) -> dict[str, str]:
    for name, _ in asked.multi_items():
        if len(asked.getlist(name)) > 1:
            raise FieldRefused(f"{name[:100]}: ask once", param=name[:100])
    return dict(asked)
