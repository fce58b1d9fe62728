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
    """A call under way and what it holds. `metered` works out what it has cost so far."""

    business: str
    id: str
    metered: Callable[[], Credits]
    held: Credits = Credits(0)


class OpenCalls:
    """Every call under way, by id."""

    def __init__(self, balances: Balances, *, lease_s: float) -> None:
        self._balances = balances
        self._lease_s = lease_s
        self._calls: dict[str, OpenCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def held(self) -> Credits:
        """What is held for all of them."""
        return sum((call.held for call in self._calls.values()), Credits(0))

    def add(self, call: OpenCall) -> None:
        self._calls[call.id] = call

    async def ended(self, id: str, cost: Credits) -> bool:
        """
        Note what a call has cost, for good; False when it is not held any more.

        Whoever sweeps it from now on charges just that.

        Raises:
            LedgerUnavailable: It may or may not be noted.
        """
        call = self._calls.get(id)
        if call is None:
            return False
        call.metered = lambda: cost
        return await self._balances.renew(
            business=call.business, id=id, lease_s=self._lease_s, metered=cost, is_exact=True
        )

    def remove(self, id: str) -> None:
        self._calls.pop(id, None)

    async def run(self) -> None:
        """
        Renew every lease at a third of its length, until cancelled.

        Two renewals may fail before a lease ends. Most calls are over before their first.
        """
        while True:
            await asyncio.sleep(self._lease_s / 3)
            await self.renew_all()

    async def renew_all(self) -> None:
        """Renew the lease of each call, all in a few batches; one in trouble keeps no other."""
        calls = list(self._calls.values())
        answers = await asyncio.gather(*map(self._renew, calls), return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, StorageError)]
        if failed:
            noted = {"calls": len(failed), "error": str(failed[0])[:200]}
            log.warning("leases_not_renewed", extra=noted)
        for call, held in zip(calls, answers, strict=True):
            if held is False and call.id in self._calls:
                log.error("hold_was_swept_while_running", extra={"id": call.id})
            elif isinstance(held, BaseException) and not isinstance(held, StorageError):
                log.error("lease_renewal_failed", exc_info=held, extra={"id": call.id})

    async def _renew(self, call: OpenCall) -> bool:
        return await self._balances.renew(
            business=call.business,
            id=call.id,
            lease_s=self._lease_s,
            metered=_cost_so_far(call),
        )


def _cost_so_far(call: OpenCall) -> Credits:
    """Nothing where it cannot be worked out: a lower figure than the noted one is ignored."""
    try:
        return call.metered()
    except Exception:
        # The lease is worth more than the checkpoint: without it the call would be swept.
        log.exception("cost_so_far_failed", extra={"id": call.id})
        return Credits(0)
