"""Pool: how many calls may run at once, and the connections that wait for the next one."""

from __future__ import annotations

import asyncio
from collections import deque

import httpx2

from gateway.http1_connection import Connection, Origin


class Pool:
    """
    Slots for calls, given in the order they were asked for, and idle connections.

    The connection that was used last is used next, so that the others grow old and their
    servers close them: under little load few connections stay, and those are fresh.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: list[Connection] = []

    @property
    def active(self) -> int:
        """Calls that hold a slot now."""
        return self._active

    @property
    def idle(self) -> int:
        """Open connections without a call."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return len(self._waiting)

    async def enter(self, wait_s: float | None) -> None:
        """
        Take a slot, waiting for one when there is none.

        Raises:
            PoolTimeout: None was free within `wait_s`.
        """
        if self._active < self._most:
            self._active += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(wait_s):
                await turn
        except BaseException as reason:
            self._give_up(turn)
            if isinstance(reason, TimeoutError):
                raise httpx2.PoolTimeout(
                    f"all {self._most} connections were in use for {wait_s:g} s"
                ) from None
            raise

    def leave(self) -> None:
        """Give the slot to who waits longest, or back."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._active -= 1

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection to `origin` that can be asked; stale ones are closed on the way."""
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index].origin != origin:
                continue
            connection = self._idle.pop(index)
            if connection.can_be_asked():
                return connection
            connection.abort()
        return None

    def put(self, connection: Connection) -> None:
        """Keep a connection for the next call; the oldest one makes room."""
        self._idle.append(connection)
        if len(self._idle) > self._most:
            self._idle.pop(0).abort()

    def forget(self, connection: Connection) -> None:
        """This connection is gone."""
        if connection in self._idle:
            self._idle.remove(connection)

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            # The slot was given in the same moment: it goes to the next one.
            self.leave()
        elif turn in self._waiting:
            self._waiting.remove(turn)
