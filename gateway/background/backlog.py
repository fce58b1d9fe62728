"""How much waits to be stored in SQL, so that new calls stop before memory does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
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
        self._outbox_bytes = 0

    def admits(self) -> bool:
        """Whether a new call may come in; what runs is settled in any case."""
        return max(self._outbox_bytes, self._kept_bytes()) < self._most_bytes

    async def run(self) -> None:
        """Look at the outbox about once a second, until cancelled."""
        while True:
            try:
                self._outbox_bytes = await outbox.length(self._redis) * AN_ENTRY_BYTES
            except StorageError as error:
                log.warning("backlog_unknown", extra={"error": str(error)[:200]})
            await asyncio.sleep(LOOK_EVERY_S)
