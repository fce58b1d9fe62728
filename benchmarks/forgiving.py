"""
Callers for a server that may fail under the load: they count what fails, and go on.

Ours must not fail once (callers.py); of a peer we want to know how often it does.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from benchmarks.callers import Caller, Callers, Request

RECONNECT_S = 0.05  # A server that refuses a connection is not asked again at once.


class ForgivingCallers(Callers):
    """
    Callers that replace a connection that was lost, and count the call on it as failed.

    Attributes:
        failures: How often which thing went wrong.
    """

    def __init__(self, request: Request, port: int) -> None:
        super().__init__(request, port)
        self.failures: Counter[str] = Counter()
        self._replacing: set[asyncio.Task[None]] = set()

    async def make(self, calls: int, *, within_s: float) -> None:
        """
        Make so many calls; those that failed are among them.

        Raises:
            TimeoutError: They took longer; what was answered until then is counted.
        """
        if not self._all:
            self.failures["no connection is left"] += calls
            return
        await super().make(calls, within_s=within_s)

    def wrong(self, caller: Caller, why: str, *, stays: bool) -> None:
        self.failures[why] += 1
        if stays:
            self._ended(caller)
        else:
            self._leave(caller)
            self._replaced()

    def lost(self, caller: Caller, why: str) -> None:
        if self._closing or caller not in self._all:
            return
        self._leave(caller)
        if caller.calling:
            self.failures[why] += 1
            self._replaced()

    def _leave(self, caller: Caller) -> None:
        self._all.remove(caller)
        caller.close()

    def _replaced(self) -> None:
        task = asyncio.ensure_future(self._replace())
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _replace(self) -> None:
        """A new connection in the place of one whose call has failed; it makes the next."""
        while not self._closing:
            try:
                caller = await self._connect()
            except OSError as error:
                if not self._to_begin:
                    break
                self._to_begin -= 1
                self._to_end -= 1
                self.failures[f"no connection: {error.strerror}"] += 1
                await asyncio.sleep(RECONNECT_S)
            else:
                self._all.append(caller)
                self._ended(caller)
                return
        self._over_without()

    def _over_without(self) -> None:
        self._to_end -= 1
        if self._to_end == 0 and self._over is not None and not self._over.done():
            self._over.set_result(None)
