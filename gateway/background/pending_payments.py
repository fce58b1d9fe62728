"""
Payments that nobody told us of: webhooks kept and not processed, purchases that are pending.

A webhook is processed by the process that it came to; this loop finds those of a process
that died, and asks the provider about pending purchases, less and less often.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gateway.payments.settling import Settling
from storage.errors import StorageError

log = logging.getLogger(__name__)

EVERY_S = 5.0


class PendingPayments:
    """Looks, under a lease, for what a webhook should have told."""

    def __init__(
        self,
        settling: Settling,
        *,
        every_s: float = EVERY_S,
        runs_here: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settling = settling
        self._every_s = every_s
        self._runs_here = runs_here

    async def run(self) -> None:
        """Look until cancelled, through any absence of SQL or the provider."""
        while True:
            try:
                if self._settling.is_on and self._runs_here():
                    await self.look_once()
            except StorageError as error:
                log.warning("payments_wait", extra={"reason": str(error)[:200]})
            except Exception:
                # A mistake of ours must not end the way of a payment that was not told.
                log.exception("payments_failed")
            await asyncio.sleep(self._every_s)

    async def look_once(self) -> int:
        """
        Process what waits, and ask about the purchases whose time it is.

        Returns:
            How many webhooks and purchases those were.
        """
        looked = await self._settling.process_waiting()
        after = ""
        while page := await self._settling.pending(after=after):
            for purchase, checks in page:
                await self._settling.check(purchase, checks=checks)
            looked += len(page)
            after = page[-1][0].id
        return looked
