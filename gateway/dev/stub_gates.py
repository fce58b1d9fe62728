"""Turnstile: lets the stub's chunks through one by one, as a test says."""

from __future__ import annotations

import asyncio


class Turnstile:
    """A gate that counts: each `wait` uses up one of what was let through."""

    def __init__(self) -> None:
        self._passes = asyncio.Semaphore(0)
        self._open = False

    async def wait(self) -> None:
        """Go through, when it is open or one more may pass."""
        if not self._open:
            await self._passes.acquire()
        if self._open:
            # Wake the next one too: none has to wait any more.
            self._passes.release()

    def lets_through(self, count: int = 1) -> None:
        """So many more may pass."""
        for _ in range(count):
            self._passes.release()

    def opens(self) -> None:
        """From now on all may pass."""
        self._open = True
        self._passes.release()
