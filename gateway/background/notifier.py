"""
Sends what is due: each alert through each channel until it has arrived or 72 hours are over.

What is to be sent lies in SQL, so a mail server that is away loses nothing. Each channel has
a loop of its own, so it does not hold up the webhooks either. A delivery is claimed before it
is sent; who dies between sending and noting it sends it twice, under the same id.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

from gateway.telling import NotTold
from storage import deliveries
from storage.database import Database
from storage.deliveries import Channel, Notice
from storage.errors import StorageError
from storage.leases import everywhere

log = logging.getLogger(__name__)

EVERY_S = 2.0
AT_ONCE = 10  # So many are sent at a time; a server that hangs holds up no more than these.
WITHIN_S = 90.0  # Of one attempt; below the time after which another process tries.
FIRST_PAUSE_S = 5.0
PAUSE_MOST_S = 3600.0


class Sends(Protocol):
    """A channel: `gateway.mail.Mail` or `gateway.webhook.Webhook`."""

    async def send(self, notice: Notice) -> None: ...


class Notifier:
    """
    The loops that send alerts.

    Args:
        channels: None at all, and nothing is ever looked for.
        clock: The time, aware.
        jitter: A number from 0 to 1: which part of half a pause is left out.
    """

    def __init__(
        self,
        database: Database,
        channels: Mapping[Channel, Sends],
        *,
        every_s: float = EVERY_S,
        runs_here: Callable[[], bool] = everywhere,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._channels = channels
        self._every_s = every_s
        self._runs_here = runs_here
        self._clock = clock
        self._jitter = jitter

    async def run(self) -> None:
        """Send until cancelled, through any absence of SQL, mail or the webhook's server."""
        async with asyncio.TaskGroup() as group:
            for channel in self._channels:
                group.create_task(self._run(channel))

    async def _run(self, channel: Channel) -> None:
        while True:
            sent = 0
            try:
                if self._runs_here():
                    sent = await self.send_due(channel)
            except StorageError as error:
                log.warning("notifier_waits", extra={"reason": str(error)[:200]})
            except Exception:
                # A mistake of ours must not end the way of every later alert.
                log.exception("notifier_failed")
            if not sent:
                await asyncio.sleep(self._every_s)

    async def send_due(self, channel: Channel) -> int:
        """
        Try what is due in one channel, some at a time.

        Returns:
            How many were tried.

        Raises:
            RecordsUnavailable: SQL is away.
        """
        async with self._database.read() as connection:
            found = await deliveries.due(connection, channel, at=self._clock(), limit=AT_ONCE)
        # No task group: one that fails must not cancel the others, which may be sent already.
        tried = await asyncio.gather(
            *(self._try(channel, notice) for notice in found), return_exceptions=True
        )
        for error in tried:
            if isinstance(error, BaseException):
                raise error
        return len(found)

    async def _try(self, channel: Channel, notice: Notice) -> None:
        async with self._database.write() as connection:
            if not await deliveries.claim(connection, notice, at=self._clock()):
                return
        error = await self._sent(channel, notice)
        async with self._database.write() as connection:
            at = self._clock()
            if error is None:
                await deliveries.note_sent(connection, notice, at=at)
                return
            next_at = at + self.pause(notice.attempts)
            await deliveries.note_failed(connection, notice, error=error, next_at=next_at)
        given_up = next_at > notice.gives_up_at
        log.log(
            logging.ERROR if given_up else logging.WARNING,
            "alert_given_up" if given_up else "alert_not_sent",
            extra={"alert": notice.alert, "channel": channel, "reason": error},
        )

    async def _sent(self, channel: Channel, notice: Notice) -> str | None:
        """Why it has not arrived; None when it has."""
        try:
            async with asyncio.timeout(WITHIN_S):
                await self._channels[channel].send(notice)
        except NotTold as error:
            return str(error)
        except TimeoutError:
            return f"no answer within {WITHIN_S:.0f} seconds"
        except Exception as error:
            # Of one delivery, perhaps: the others must not wait for it.
            log.exception("alert_not_made", extra={"alert": notice.alert, "channel": channel})
            return f"it could not be sent: {type(error).__name__}"
        return None

    def pause(self, attempts: int) -> timedelta:
        """How long to wait after so many attempts and one more: twice as long, an hour at most."""
        whole = min(FIRST_PAUSE_S * 2.0 ** min(attempts, 20), PAUSE_MOST_S)
        # Half of it at least: those that failed together do not come back together.
        return timedelta(seconds=whole * (1 - self._jitter() / 2))
