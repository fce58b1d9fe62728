"""Prices that an operator added to the shipped rate card, or put over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import insert_if_new
from storage.errors import Conflict
from storage.ids import new_id
from storage.tables import model_prices as table


@dataclass(frozen=True, slots=True)
class PriceRow:
    """
    One model's prices from a moment on.

    Attributes:
        row: The same keys as a row of `rate_card.toml`.
        version: By which a transaction names the prices that rated it.
    """

    id: str
    model: str
    valid_from: datetime
    row: Mapping[str, Any]
    version: str
    who: str
    source: str
    created_at: datetime


async def add(
    connection: AsyncConnection,
    *,
    model: str,
    valid_from: datetime,
    row: Mapping[str, Any],
    version: str,
    who: str,
    source: str,
    at: datetime,
) -> PriceRow:
    """
    Store prices; those of before stay, because old transactions name them.

    Raises:
        Conflict: The model has prices from that moment on already.
    """
    price = PriceRow(new_id(), model, valid_from, row, version, who, source, at)
    stored = await connection.execute(
        insert_if_new(connection, table).values(
            id=price.id,
            model=model,
            valid_from=valid_from,
            row=dict(row),
            version=version,
            who=who,
            source=source,
            created_at=at,
        )
    )
    if stored.rowcount == 0:
        raise Conflict(
            f"{model!r} has prices from {valid_from.isoformat()} already; choose a later moment"
        )
    return price


async def all(connection: AsyncConnection) -> list[PriceRow]:
    """Every stored price, by model and then the oldest first."""
    found = await connection.execute(select(table).order_by(table.c.model, table.c.valid_from))
    return [PriceRow(**found_one) for found_one in found.mappings()]
