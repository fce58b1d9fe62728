"""The rate card of this moment: the shipped one with what the operator has put over it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from metering.errors import MeteringError
from metering.rates import RateCard
from storage import prices
from storage.database import Database
from storage.errors import StorageError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 4.0  # A new price is promised to count within 5 seconds.


class PriceBook:
    """Holds a card and exchanges it when the operator's prices change."""

    def __init__(
        self, shipped: RateCard, database: Database, check: Callable[[RateCard], None]
    ) -> None:
        """
        Args:
            check: Raises TariffWrong when our own prices contradict a card.
        """
        self._shipped = shipped
        self._check = check
        self._database = database
        self._versions: list[str] = []
        self._card = shipped

    def card(self) -> RateCard:
        """The card that prices the next call."""
        return self._card

    async def refresh(self) -> None:
        """
        Read the operator's prices.

        Raises:
            RateCardWrong, TariffWrong: One of them contradicts the card, or a fixed price
                no longer covers its feature; the old card stays.
            RecordsUnavailable: SQL does not answer; the old card stays.
        """
        async with self._database.read() as connection:
            rows = await prices.all(connection)
        versions = [row.version for row in rows]
        if versions == self._versions:
            return
        card = self._shipped.with_overrides(
            {
                "model": row.model,
                "valid_from": row.valid_from,
                "source": row.source,
                "row": row.row,
            }
            for row in rows
        )
        self._check(card)
        self._card, self._versions = card, versions

    async def run(self) -> None:
        """Look for new prices until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.refresh()
            except StorageError as error:
                log.warning("prices_not_read", extra={"error": str(error)[:200]})
            except MeteringError as error:
                log.critical("prices_wrong", extra={"error": str(error)[:500]})
