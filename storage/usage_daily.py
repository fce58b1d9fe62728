"""
The daily rollup: what each business used in a day, kept in step with its transactions.

A day is the business's own, in its time zone, and stands on the transaction: it is named
once, when the row is counted here. So each row is counted in one day, whatever the zone
becomes later, and the rollup is at any time the sum of the rows that name a day.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, tzinfo
from functools import cache, lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Date,
    Executable,
    String,
    any_,
    bindparam,
    column,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from storage.tables import Id, ai_transactions, businesses
from storage.tables import usage_daily as rollup

KEYS = ("business_id", "day", "feature", "user", "model", "endpoint")
SUMS = ("calls", "failed", "tokens", "credits_microcredits", "cost_picodollars")

Row = Mapping[str, Any]


class Key(NamedTuple):
    """What one row of the rollup is about; '' where a call named no feature or user."""

    business_id: str
    day: date
    feature: str
    user: str
    model: str
    endpoint: str


async def name_days(connection: AsyncConnection, rows: Collection[dict[str, Any]]) -> None:
    """Set `day` on rows of `ai_transactions` that are about to be inserted."""
    if not rows:
        return
    zones = await _zones(connection, sorted({row["business_id"] for row in rows}))
    for row in rows:
        row["day"] = day_in(zones[row["business_id"]], row["timestamp"])


async def add(connection: AsyncConnection, rows: Iterable[Row]) -> None:
    """
    Count rows that this transaction inserts, each with its `day`.

    One row a group is written, in the order of the keys: whoever adds to the same groups
    waits, and nobody waits in a circle.
    """
    sums = grouped(rows)
    if not sums:
        return
    values = [(*key, *sums[key]) for key in sorted(sums)]
    names = (*KEYS, *SUMS)
    statement = _upsert(connection.dialect.name)
    if connection.dialect.name == "postgresql":
        columns = zip(*values, strict=True)
        await connection.execute(statement, dict(zip(names, map(list, columns), strict=True)))
    else:
        await connection.execute(
            statement, [dict(zip(names, each, strict=True)) for each in values]
        )


def grouped(rows: Iterable[Row]) -> dict[Key, list[int]]:
    """Rows of `ai_transactions` as groups of the rollup, each with its sums."""
    sums: dict[Key, list[int]] = {}
    for row in rows:
        key = Key(
            row["business_id"],
            row["day"],
            row["feature"] or "",
            row["user"] or "",
            row["model"] or "",
            row["endpoint"] or "",
        )
        group = sums.get(key)
        if group is None:
            group = sums[key] = [0, 0, 0, 0, 0]
        if row["outcome"] != "adjusted":
            group[0] += 1
            group[1] += not row["success"]
        group[2] += row["tokens_used"]
        group[3] += row["credits_used_microcredits"]
        group[4] += row["cost_to_us_picodollars"]
    return sums


def day_in(zone: str, at: datetime) -> date:
    """The day that it is in an IANA zone; of UTC where the zone is not known here."""
    return at.astimezone(_zone(zone)).date()


async def catch_up(connection: AsyncConnection, *, limit: int) -> int:
    """
    Count at most `limit` rows that no day was named for.

    They were recorded before there was a rollup, or by a gateway that does not know it
    yet. A row and its sum are one transaction, so this may stop anywhere and go on later,
    beside a recorder and beside itself.

    Returns:
        How many were counted; fewer than `limit` when none is left that nobody else counts.
    """
    found = await connection.execute(_without_day, {"limit": limit})
    rows = [dict(row._mapping) for row in found]
    if not rows:
        return 0
    await name_days(connection, rows)
    days = [{"row_id": row["id"], "row_day": row["day"]} for row in rows]
    if connection.dialect.name == "postgresql":
        lists = {name: [each[name] for each in days] for name in ("row_id", "row_day")}
        await connection.execute(_set_days, lists)
    else:
        await connection.execute(_set_day, days)
    await add(connection, rows)
    return len(rows)


async def _zones(connection: AsyncConnection, ids: list[str]) -> dict[str, str]:
    """Business → its time zone, as it is now."""
    found = await connection.execute(_zones_of(connection.dialect.name), {"ids": ids})
    return {row.id: row.time_zone for row in found}


@cache
def _zones_of(dialect: str) -> Executable:
    query = select(businesses.c.id, businesses.c.time_zone)
    if dialect == "postgresql":
        return query.where(businesses.c.id == any_(bindparam("ids", type_=ARRAY(Id))))
    return query.where(businesses.c.id.in_(bindparam("ids", expanding=True)))


@lru_cache(maxsize=512)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # No name may keep a finished call out of SQL.
        return UTC


@cache
def _upsert(dialect: str) -> Executable:
    """Add to the groups: on PostgreSQL all in one statement, a list for each column."""
    insert: Any
    if dialect == "postgresql":
        given: dict[str, TypeEngine[Any]] = {name: String() for name in KEYS}
        given |= {"business_id": Id, "day": Date()}
        given |= {name: BigInteger() for name in SUMS}
        lists = [bindparam(name, type_=ARRAY(kind)) for name, kind in given.items()]
        rows = func.unnest(*lists).table_valued(*(column(name) for name in given)).render_derived()
        insert = postgres_insert(rollup).from_select(list(given), select(*rows.c))
    else:
        insert = sqlite_insert(rollup).values({name: bindparam(name) for name in (*KEYS, *SUMS)})
    return insert.on_conflict_do_update(  # type: ignore[no-any-return]
        index_elements=list(KEYS),
        set_={name: rollup.c[name] + insert.excluded[name] for name in SUMS},
    )


_without_day = (
    select(
        *(ai_transactions.c[name] for name in ("id", "business_id", "timestamp", "feature")),
        *(ai_transactions.c[name] for name in ("user", "model", "endpoint", "outcome", "success")),
        ai_transactions.c.tokens_used,
        ai_transactions.c.credits_used_microcredits,
        ai_transactions.c.cost_to_us_picodollars,
    )
    .where(ai_transactions.c.day.is_(None))
    .order_by(ai_transactions.c.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)

_set_day = (
    update(ai_transactions)
    .where(ai_transactions.c.id == bindparam("row_id"))
    .values(day=bindparam("row_day"))
)

_days = (
    func.unnest(bindparam("row_id", type_=ARRAY(Id)), bindparam("row_day", type_=ARRAY(Date())))
    .table_valued(column("row_id", Id), column("row_day", Date))
    .render_derived()
)

_set_days = (
    update(ai_transactions)
    .where(ai_transactions.c.id == _days.c.row_id)
    .values(day=_days.c.row_day)
)
