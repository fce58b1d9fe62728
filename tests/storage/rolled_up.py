"""The rollup beside what it must be: the sums of the transactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.tables import ai_transactions, usage_daily


async def rollup(connection: AsyncConnection) -> list[tuple[Any, ...]]:
    """Every row of `usage_daily`, in the order of its keys."""
    return _plain((await connection.execute(select(usage_daily))).all())


async def grouped(connection: AsyncConnection) -> list[tuple[Any, ...]]:
    """The same, worked out by SQL from every transaction."""
    t = ai_transactions.c
    is_call = t.outcome != "adjusted"
    keys = [
        t.business_id,
        t.day,
        func.coalesce(t.feature, ""),
        func.coalesce(t.user, ""),
        t.model,
        t.endpoint,
    ]
    sums = [
        func.sum(case((is_call, 1), else_=0)),
        func.sum(case((is_call & ~t.success, 1), else_=0)),
        func.sum(t.tokens_used),
        func.sum(t.credits_used_microcredits),
        func.sum(t.cost_to_us_picodollars),
    ]
    return _plain((await connection.execute(select(*keys, *sums).group_by(*keys))).all())


def _plain(rows: Sequence[Row[Any]]) -> list[tuple[Any, ...]]:
    return sorted((*row[:6], *map(int, row[6:])) for row in rows)
