"""The rate card of this moment: an operator's prices count while the gateway runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.price_book import PriceBook
from metering.errors import TariffWrong
from metering.rates import RateCard
from storage import prices
from storage.database import Database

pytestmark = pytest.mark.anyio

MODEL = "gpt-5.4-mini"


async def _dearer(database: Database, card: RateCard) -> None:
    """Store a price of 100 dollars a million for every unit of the model."""
    row: dict[str, Any] = {
        "tiers": {"default": {unit.value: "100" for unit in card.find(MODEL).tiers["default"]}}
    }
    at = datetime.now(UTC)
    async with database.write() as connection:
        await prices.add(
            connection,
            model=MODEL,
            valid_from=at,
            row=row,
            version="mine",
            who="admin",
            source="a test",
            at=at,
        )


async def test_a_price_that_was_added_prices_the_next_call(database: Database) -> None:
    """Without a release and without a restart."""
    card = RateCard.load()
    book = PriceBook(card, database, lambda card: None)
    await _dearer(database, card)

    await book.refresh()

    assert book.card().find(MODEL).version != card.find(MODEL).version


async def test_a_price_that_a_fixed_price_does_not_cover_is_not_taken(database: Database) -> None:
    """The old card stays: a feature must not be sold below its cost unnoticed."""
    card = RateCard.load()

    def check(found: RateCard) -> None:
        if found is not card:
            raise TariffWrong("features.idea.credits", "does not cover what it can cost")

    book = PriceBook(card, database, check)
    await _dearer(database, card)

    with pytest.raises(TariffWrong):
        await book.refresh()

    assert book.card() is card
