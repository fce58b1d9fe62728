"""What the talks of all websockets do alike: begin responses, end them, and tell errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from gateway.errors import NotAuthenticated
from gateway.metered_call import MeteredCall
from gateway.owning import Owning
from gateway.read_call import Labels
from gateway.realtime import Caller, CallerGone, Stopping
from gateway.upstream_errors import UpstreamBroken, UpstreamTimeout
from gateway.upstream_socket import UpstreamClosed, UpstreamSocket
from gateway.ws_calls import CallerLeft, SocketCalls
from gateway.ws_errors import ENDED_BY_FAULT, ENDED_BY_US, SessionEnds, error_event
from metering.call import Call
from storage.errors import BusinessSuspended
from storage.keys import KeyHolder

# What else can be switched on makes objects of OpenAI's, and nobody notes here whose they are.
WITHOUT_OBJECTS = frozenset({"hosted_tools", "mcp", "realtime", "urls"})

encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Running:
    """A response under way: its call, and the alarm of one that takes too long."""

    metered: MeteredCall
    alarm: asyncio.TimerHandle | None = None
    id: str | None = None


@dataclass(slots=True)
class Line:
    """
    One accepted websocket and who pays for it.

    Args:
        admit: Who calls, asked anew for each response: a key may be revoked meanwhile.
        labels: User and feature, from the handshake.
        total_timeout_s: For a whole response.
    """

    caller: Caller
    upstream: UpstreamSocket
    calls: SocketCalls
    admit: Callable[[], Awaitable[KeyHolder]]
    labels: Labels
    owning: Owning
    total_timeout_s: float
    out_of_credits_status: int
    model: str = ""
    holder: KeyHolder | None = field(default=None)


class BaseTalk:
    """Begins and ends the responses of one websocket."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.idle = asyncio.Event()
        self.idle.set()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.running: list[Running] = []
        self.winds_up = False

    def beside(self) -> list[Coroutine[Any, Any, None]]:
        """Nothing."""
        return []

    async def wind_up(self, *, is_left: bool) -> None:
        """Begin nothing new."""
        self.winds_up = True

    async def begin(
        self, call: Call, *, also: frozenset[str] = frozenset(), may_fit: bool = True
    ) -> Running:
        """
        Hold what a response may cost.

        Args:
            also: What it may do beyond what is switched on for the business.
            may_fit: Whether its output limit may be lowered to what is affordable.

        Raises:
            SessionEnds: Nobody may go on with this key.
            GatewayError, MeteringError, StorageError: This response is refused.
        """
        try:
            holder = await self.line.admit()
            await self.look(call, holder)
            call.allowed = (holder.switches & WITHOUT_OBJECTS) | also
            labels = self.line.labels if may_fit else replace(self.line.labels, may_fit=False)
            begun = Running(await self.line.calls.begin(call, holder, labels))
        except (NotAuthenticated, BusinessSuspended) as error:
            raise SessionEnds(error, ENDED_BY_US) from error
        self.running.append(begun)
        return begun

    async def look(self, call: Call, holder: KeyHolder) -> None:
        """
        Whose objects a call names.

        Raises:
            ObjectUnknown, RecordsUnavailable, RequestRefused
        """

    async def send(self, begun: Running, frame: bytes) -> None:
        """Send the frame that was held for."""
        self.under_way(begun)
        await self.line.upstream.send(frame)

    def under_way(self, begun: Running) -> None:
        """OpenAI may make this response from now on."""
        self.line.calls.sent(begun.metered)
        self.idle.clear()
        begun.alarm = asyncio.get_running_loop().call_later(
            self.line.total_timeout_s, self._too_long
        )

    def over(self, begun: Running, error: BaseException | None = None) -> None:
        """Settle a response that has come to its end."""
        self._forget(begun)
        self.line.calls.finish(begun.metered, error)

    def unused(self, begun: Running, status: int | None = None) -> None:
        """Give back what was held for a response that is not made."""
        self._forget(begun)
        if status is None:
            self.line.calls.release(begun.metered)
        else:
            self.line.calls.release(begun.metered, status)

    def _forget(self, begun: Running) -> None:
        if begun.alarm is not None:
            begun.alarm.cancel()
        if begun in self.running:
            self.running.remove(begun)
        if not any(other.metered.sent for other in self.running):
            self.idle.set()

    def end(self, error: BaseException) -> None:
        """Settle whatever is still under way, and give back what was only held."""
        if isinstance(error, SessionEnds):
            error = error.error
        if isinstance(error, UpstreamClosed):
            error = UpstreamBroken(f"the upstream closed the websocket with {error.code}")
        elif isinstance(error, CallerGone):
            error = CallerLeft()
        elif isinstance(error, Stopping):
            error = asyncio.CancelledError()
        for begun in list(self.running):
            if begun.metered.sent:
                self.over(begun, error)
            else:
                self.unused(begun)

    async def tell(
        self, error: Exception, *, about: str | None = None, code: str | None = None
    ) -> None:
        """Say what went wrong, as an `error` event."""
        status = self.line.out_of_credits_status
        event, _ = error_event(error, about=about, code=code, out_of_credits_status=status)
        await self.line.caller.send(event)

    def fail(self, ends: SessionEnds) -> None:
        """End the websocket from where nothing can be raised."""
        if not self.failed.done():
            self.failed.set_exception(ends)

    def _too_long(self) -> None:
        error = UpstreamTimeout("the response took longer than a response may")
        self.fail(SessionEnds(error, ENDED_BY_FAULT))
