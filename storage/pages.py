"""Pages of a list, the newest first, found by the last id seen and not by counting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.ids import known_id


async def newest(
    connection: AsyncConnection,
    table: Table,
    *,
    noun: str,
    limit: int,
    after: str | None,
    business: str | None = None,
) -> Sequence[Row[Any]]:
    """
    At most `limit` rows whose id comes before `after`.

    Args:
        noun: What the rows are, for the error about an id that is none.
        business: Whose; everybody's when None.

    Raises:
        NotFound: `after` or `business` is no id.
    """
    query = select(table)
    if business is not None:
        query = query.where(table.c.business_id == known_id("business", business))
    if after is not None:
        query = query.where(table.c.id < known_id(noun, after))
    found = await connection.execute(query.order_by(table.c.id.desc()).limit(limit))
    return found.all()
