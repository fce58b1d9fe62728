"""`gateway usage`: what was used, by feature, user, model, business or day."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import shown
from gateway.admin.analytics import UsageAsked
from gateway.admin.forms import filled
from gateway.cli import output
from gateway.cli.options import AsJson, ConfigFile, DataDir
from gateway.cli.output import Column
from gateway.cli.records import Where, all_rows, read
from storage import analytics, businesses
from storage.analytics import Group

SUMS = (
    Column("calls", "calls", is_amount=True),
    Column("failed", "failed", is_amount=True),
    Column("tokens", "tokens", is_amount=True),
    Column("credits", "credits", is_amount=True),
    Column("cost to us, USD", "cost", is_amount=True),
)

Rows = tuple[list[shown.Shown], shown.Shown]


def app(
    by: Annotated[str, typer.Option(help="feature, user, model, business or day.")] = "feature",
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="DAY", help="The first day; 30 days ago by default."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="The day after the last one.")
    ] = None,
    business: Annotated[
        str | None, typer.Option(metavar="BUSINESS", help="Whose; everybody's if not given.")
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """
    What was used, and the totals of the whole range.

    Days are those of each business, in its time zone. With --json the last line is the totals.
    """
    given = {"by": by, "from": since, "to": until, "business": business}
    asked = filled(UsageAsked, {name: value for name, value in given.items() if value is not None})
    range = asked.range_at(datetime.now(UTC))

    async def work(connection: AsyncConnection) -> Rows:
        if range.business is not None:
            await businesses.get(connection, range.business)

        async def page(connection: AsyncConnection, limit: int, after: str | None) -> list[Group]:
            return await analytics.page(connection, asked.by, range, limit=limit, after=after)

        found = await all_rows(connection, page, None)
        totals = shown.used(await analytics.totals(connection, range))
        return [shown.usage_group(asked.by, group) for group in found], totals

    groups, totals = read(Where(config, data_dir), work)
    if as_json:
        output.rows(groups, (), as_json=True)
        output.document({**shown.usage_range(asked.by, range), "totals": totals})
    else:
        output.rows([*groups, _last(asked.by, totals)], _columns(asked.by), as_json=False)


def _columns(by: str) -> tuple[Column, ...]:
    keys = (Column("id", "business_id"), Column("business", "business"))
    return (*(keys if by == "business" else (Column(by, by),)), *SUMS)


def _last(by: str, totals: shown.Shown) -> dict[str, Any]:
    return {"business_id" if by == "business" else by: "total", "business": "", **totals}
