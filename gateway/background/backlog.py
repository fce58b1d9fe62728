"""How much waits to be stored in SQL, so that new calls stop before memory does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import time
from typing import Any

from storage import outbox
from storage.errors import StorageError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
AN_ENTRY_BYTES = 800  # Measured: what Redis needs for one entry and its answer.


class Backlog:
    """
    The outbox in Redis and the settles this process keeps, against a bound in bytes.

    Args:
        kept_bytes: How much the settles take.
    """

    def __init__(self, redis: Any, kept_bytes: Callable[[], int], *, most_bytes: int) -> None:
        self._redis = redis
        self._kept_bytes = kept_bytes
        self._most_bytes = most_bytes
        self._oldest_ms: int | None = None
        self._looked_at = 0.0
        self.outbox_entries = 0

    def admits(self) -> bool:
        """Whether a new call may come in; what runs is settled in any case."""
        return max(self.outbox_bytes, self._kept_bytes()) < self._most_bytes

    @property
    def outbox_bytes(self) -> int:
        """About how much memory of Redis the entries of the outbox take."""
        return self.outbox_entries * AN_ENTRY_BYTES

    @property
    def oldest_s(self) -> float:
        """
        How long the oldest entry had waited when we last looked.

        It grows on while Redis does not answer: nothing can have left it then.
        """
        if self._oldest_ms is None:
            return 0.0
        return max(0.0, self._looked_at - self._oldest_ms / 1000)

    async def look(self) -> None:
        """
        Look at the outbox.

        Raises:
            LedgerUnavailable: Redis does not answer; what was seen last stands.
        """
        try:
            self.outbox_entries, self._oldest_ms = await outbox.waiting(self._redis)
        finally:
            self._looked_at = time()

    async def run(self) -> None:
        """Look about once a second, until cancelled."""
        while True:
            try:
                await self.look()
            except StorageError as error:
                log.warning("backlog_unknown", extra={"error": str(error)[:200]})
            await asyncio.sleep(LOOK_EVERY_S)
