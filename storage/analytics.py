"""What was used, by feature, user, model, business or day: sums of the daily rollup."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import Credits, Usd
from storage.ids import known_id
from storage.tables import businesses
from storage.tables import usage_daily as table

By = Literal["feature", "user", "model", "business", "day"]


@dataclass(frozen=True, slots=True)
class Range:
    """
    Which usage is meant.

    Attributes:
        since: The first day, of each business's own time zone.
        until: The day after the last; None for all that is there.
        business: Whose; everybody's when None.
    """

    since: date
    until: date | None = None
    business: str | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """
    Sums of usage.

    Attributes:
        calls: An adjusted row is no call; what it corrects is in the other sums.
        failed: Those of the calls that did not work.
        tokens: In and out.
    """

    calls: int
    failed: int
    tokens: int
    credits: Credits
    cost: Usd


@dataclass(frozen=True, slots=True)
class Group:
    """
    What one feature, user, model, business or day used.

    Attributes:
        id: The feature itself, and so on; '' for calls that named none.
        name: Of the business, where it is one.
    """

    id: str
    name: str | None
    used: Used


_KEYS: dict[By, ColumnElement[Any]] = {
    "feature": table.c.feature,
    "user": table.c.user,
    "model": table.c.model,
    "business": table.c.business_id,
    "day": table.c.day,
}

_SUMS = [
    func.coalesce(func.sum(table.c[name]), 0)
    for name in ("calls", "failed", "tokens", "credits_microcredits", "cost_picodollars")
]


async def page(
    connection: AsyncConnection, by: By, asked: Range, *, limit: int, after: str | None = None
) -> list[Group]:
    """
    At most `limit` groups in the order of their ids, those behind `after`.

    The order is that of the ids and not of the sums, which grow while one reads: a group
    is on one page, and on no two.
    """
    key = _KEYS[by]
    grouped = _within(select(key.label("id"), *_SUMS), asked).group_by(key)
    if after is not None:
        grouped = grouped.where(key > _seen(by, after))
    grouped = grouped.order_by(key).limit(limit)
    if by != "business":
        return [_group(row, None) for row in await connection.execute(grouped)]
    sums = grouped.subquery()
    named = select(sums, businesses.c.name).join(businesses, businesses.c.id == sums.c.id)
    found = await connection.execute(named.order_by(sums.c.id))
    return [_group(row, row.name) for row in found]


async def totals(connection: AsyncConnection, asked: Range) -> Used:
    """The sums of the whole range, however many groups and pages it has."""
    return _used((await connection.execute(_within(select(*_SUMS), asked))).one())


def _seen(by: By, after: str) -> str | date:
    if by == "day":
        return date.fromisoformat(after)
    return known_id("business", after) if by == "business" else after


def _within(query: Select[Any], asked: Range) -> Select[Any]:
    query = query.where(table.c.day >= asked.since)
    if asked.until is not None:
        query = query.where(table.c.day < asked.until)
    if asked.business is not None:
        query = query.where(table.c.business_id == known_id("business", asked.business))
    return query


def _group(row: Row[Any], name: str | None) -> Group:
    return Group(str(row.id), name, _used(row[1:6]))


def _used(row: Any) -> Used:
    # PostgreSQL answers a sum as a decimal without decimals.
    calls, failed, tokens, credits, cost = map(int, row)
    return Used(calls, failed, tokens, Credits(credits), Usd(cost))
