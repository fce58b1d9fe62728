"""Alarm: one deadline that moves with every chunk and hardly ever touches the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """
    Rings once when its time has come.

    A deadline is moved by writing a number: the loop's timer stays where it is and looks at
    the number when it fires. So a connection arms a timer about once per time-out, and not
    once per call or chunk.
    """

    __slots__ = ("_at", "_handle", "_loop", "_ring")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._at: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at: float | None) -> None:
        """Ring at this time of the loop's clock; None: not at all."""
        self._at = at
        if at is None:
            return
        if self._handle is None:
            self._handle = self._loop.call_at(at, self._look)
        elif at < self._handle.when():
            self._handle.cancel()
            self._handle = self._loop.call_at(at, self._look)

    def stop(self) -> None:
        """Never ring again, and leave nothing in the loop."""
        self._at = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        self._handle = None
        if self._at is None:
            return
        if self._loop.time() < self._at:
            self._handle = self._loop.call_at(self._at, self._look)
            return
        self._at = None
        self._ring()
