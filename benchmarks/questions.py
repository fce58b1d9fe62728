"""What analysts and admins ask of a million calls, as the views and the gateway answer it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import analytics, pages, purchases, snapshots, transactions
from storage.analytics import By, Range
from storage.tables import ai_transactions, credit_movements

PAGE = 50
BYS: tuple[By, ...] = ("feature", "user", "model", "business", "day")
ALL_OF_IT = Range(date(2026, 1, 1))

Ask = Callable[[AsyncConnection], Awaitable[Any]]


@dataclass(frozen=True)
class Report:
    """Something an analyst or an admin asks, as the gateway or the view answers it."""

    name: str
    ask: Ask


def views() -> list[Report]:
    month = "'2026-11-01'"
    asked = {
        "v_ai_transactions: calls of a day by model": """
            SELECT model, COUNT(*), AVG(first_byte_ms), MAX(processing_time_ms)
            FROM v_ai_transactions WHERE timestamp >= '2026-11-20' AND timestamp < '2026-11-21'
            AND success GROUP BY model""",
        "v_usage_daily: a month by business": f"""
            SELECT business, SUM(calls), SUM(credits), SUM(cost) FROM v_usage_daily
            WHERE day >= {month} GROUP BY business_id, business ORDER BY 3 DESC""",
        "v_usage_daily: all of it by feature": """
            SELECT feature, SUM(calls), SUM(credits), SUM(cost) FROM v_usage_daily
            GROUP BY feature ORDER BY 3 DESC""",
        "v_usage_daily: users of each day of a month": f"""
            SELECT day, COUNT(DISTINCT business_id), COUNT(DISTINCT "user") FROM v_usage_daily
            WHERE day >= {month} GROUP BY day ORDER BY day""",
        "v_credit_movements: all of them by kind": """
            SELECT kind, COUNT(*), SUM(amount) FROM v_credit_movements GROUP BY kind""",
        "v_margin_monthly: all of it": "SELECT * FROM v_margin_monthly ORDER BY month, business",
        "v_margin_monthly: by month and currency": """
            SELECT month, currency, SUM(money_paid), SUM(credits_used), SUM(cost_to_us)
            FROM v_margin_monthly GROUP BY month, currency ORDER BY month""",
        "v_liability: all of it": "SELECT * FROM v_liability ORDER BY expiry_month",
    }
    return [Report(name, _sql(query)) for name, query in asked.items()]


def _sql(query: str) -> Ask:
    async def ask(connection: AsyncConnection) -> Any:
        return (await connection.execute(text(query))).all()

    return ask


def usage(shop: str) -> list[Report]:
    one = Range(ALL_OF_IT.since, None, shop)
    month = Range(date(2026, 11, 1))
    ranges = {"half a year": ALL_OF_IT, "a month": month, "half a year of one business": one}
    return [
        Report(f"usage by {by}: {name}", _usage_of(by, range))
        for name, range in ranges.items()
        for by in BYS
    ]


def _usage_of(by: By, range: Range) -> Ask:
    async def ask(connection: AsyncConnection) -> Any:
        page = await analytics.page(connection, by, range, limit=PAGE + 1)
        return page, await analytics.totals(connection, range)

    return ask


async def paged(connection: AsyncConnection, shop: str) -> list[Report]:
    """The busiest business, at the start and deep in: nine of ten rows are before it."""
    deep = {}
    for table in (ai_transactions, credit_movements):
        found = await connection.execute(
            text(f"SELECT id FROM {table.name} WHERE business_id = :shop ORDER BY id"),
            {"shop": shop if connection.dialect.name == "postgresql" else shop.replace("-", "")},
        )
        ids = [str(id) for id in found.scalars()]
        deep[table.name] = ids[len(ids) // 10]

    def calls(after: str | None) -> Ask:
        return lambda to: transactions.page(to, shop, limit=PAGE + 1, after=after)

    def moved(after: str | None) -> Ask:
        return lambda to: pages.newest(
            to, credit_movements, noun="movement", limit=PAGE + 1, after=after, business=shop
        )

    return [
        Report("transactions page: the first", calls(None)),
        Report("transactions page: deep in", calls(deep["ai_transactions"])),
        Report("movements page: the first", moved(None)),
        Report("movements page: deep in", moved(deep["credit_movements"])),
        Report("purchases page: of everybody", lambda to: purchases.page(to, None, limit=PAGE + 1)),
        Report("open account: its snapshot", lambda to: snapshots.snapshot(to, shop)),
    ]
