"""The calls that run in this process: their leases are renewed and their cost is noted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from metering.money import Credits
from storage.balances import Balances
from storage.errors import StorageError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class OpenCall:
    """A call under way. `metered` works out what it has cost so far."""

    business: str
    id: str
    metered: Callable[[], Credits]


class OpenCalls:
    """Every call under way, by id."""

    def __init__(self, balances: Balances, *, lease_s: float) -> None:
        self._balances = balances
        self._lease_s = lease_s
        self._calls: dict[str, OpenCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: OpenCall) -> None:
        self._calls[call.id] = call

    def remove(self, id: str) -> None:
        self._calls.pop(id, None)

    async def run(self) -> None:
        """
        Renew every lease at a third of its length, until cancelled.

        Two renewals may fail before a lease ends. Most calls are over before their first.
        """
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self.renew_all()
            except StorageError as error:
                log.warning("leases_not_renewed", extra={"error": str(error)[:200]})

    async def renew_all(self) -> None:
        """Renew the lease of each call, all in a few batches."""
        calls = list(self._calls.values())
        renewals = (
            self._balances.renew(
                business=call.business,
                id=call.id,
                lease_s=self._lease_s,
                metered=call.metered(),
            )
            for call in calls
        )
        for call, held in zip(calls, await asyncio.gather(*renewals), strict=True):
            if not held and call.id in self._calls:
                log.error("hold_was_swept_while_running", extra={"id": call.id})
