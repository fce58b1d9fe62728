"""
Leases: who runs a background loop on a partition, where several processes could.

For efficiency only. Each loop does what it does once however many run it, so whoever cannot
know works: a lease that Redis does not answer about counts as one's own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from storage import redis_keys
from storage.errors import LedgerUnavailable
from storage.ids import new_id
from storage.scripts import Scripts

log = logging.getLogger(__name__)

LEASE_S = 6.0  # How long the work of a process that died lies before another one takes it.
RENEWED_EVERY_S = 2.0

Loop = Literal[
    "recorder", "sweeper", "crediting", "expiry", "reconciler", "payments", "jobs", "notifier"
]

# Some look for their work in SQL, for all businesses in one query: one lease for all.
WHOLE = 0

Place = tuple[Loop, int]
PLACES: tuple[Place, ...] = (
    *(("recorder", partition) for partition in range(redis_keys.PARTITIONS)),
    *(("sweeper", partition) for partition in range(redis_keys.PARTITIONS)),
    ("crediting", WHOLE),
    ("expiry", WHOLE),
    ("reconciler", WHOLE),
    ("jobs", WHOLE),
    ("payments", WHOLE),
    ("notifier", WHOLE),
)


def everywhere(partition: int = WHOLE) -> bool:
    """Run a loop on every partition: for a process that is alone."""
    return True


class Leases:
    """The leases of one process, each taken where it is free, renewed, and given back."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._process = new_id()
        self._elsewhere: frozenset[Place] = frozenset()
        self._wanted: tuple[Place, ...] = ()

    def of(self, loop: Loop) -> Callable[[int], bool]:
        """Whether a loop runs here on a partition. Asking for it makes this process a candidate."""
        self._wanted += tuple(place for place in PLACES if place[0] == loop)
        return lambda partition: (loop, partition) not in self._elsewhere

    def of_whole(self, loop: Loop) -> Callable[[], bool]:
        """The same for a loop that works on all partitions at once."""
        runs_on = self.of(loop)
        return lambda: runs_on(WHOLE)

    async def run(self) -> None:
        """Take and renew until cancelled."""
        while True:
            await self.renew()
            await asyncio.sleep(RENEWED_EVERY_S)

    async def renew(self) -> None:
        """Take every lease that is free, and renew one's own."""
        before, wanted = self._elsewhere, self._wanted
        ours = await asyncio.gather(*(self._is_ours(place, LEASE_S) for place in wanted))
        self._elsewhere = frozenset(
            place for place, is_ours in zip(wanted, ours, strict=True) if not is_ours
        )
        if self._elsewhere != before:
            here = len(wanted) - len(self._elsewhere)
            log.info("leases_changed", extra={"here": here, "elsewhere": len(self._elsewhere)})

    async def give_back(self) -> None:
        """Let the next process have them at once."""
        wanted, self._wanted = self._wanted, ()
        await asyncio.gather(*(self._is_ours(place, 0) for place in wanted))

    async def _is_ours(self, place: Place, lease_s: float) -> bool:
        key = redis_keys.lease(place[1], place[0])
        try:
            answer = await self._scripts.call(
                "lease", (key,), (self._process, str(round(lease_s * 1000)))
            )
        except LedgerUnavailable:
            return True
        return bool(answer[0] == "OK")
