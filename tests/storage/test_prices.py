"""Prices that an operator added."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage import prices
from storage.database import Database
from storage.errors import Conflict
from storage.prices import PriceRow
from tests.storage.outbox_entries import NOW

pytestmark = pytest.mark.anyio


async def add(database: Database, model: str, *, days: int = 0) -> PriceRow:
    async with database.write() as connection:
        return await prices.add(
            connection,
            model=model,
            valid_from=NOW + timedelta(days=days),
            row={"input": "1.25", "output": "10.00"},
            version="2026-11-22.1a2b3c4d",
            who="ama",
            source="https://openai.com/api/pricing",
            at=NOW,
        )


async def test_prices_are_kept_with_all_that_came_before(database: Database) -> None:
    """Old transactions name the version that rated them."""
    new = await add(database, "gpt-5.2", days=1)
    old = await add(database, "gpt-5.2")
    other = await add(database, "gpt-4o")

    async with database.read() as connection:
        assert await prices.all(connection) == [other, old, new]


async def test_two_prices_of_one_moment_are_a_mistake(database: Database) -> None:
    """Which of them had rated a call could not be told."""
    await add(database, "gpt-5.2")

    with pytest.raises(Conflict, match="has prices from"):
        await add(database, "gpt-5.2")
