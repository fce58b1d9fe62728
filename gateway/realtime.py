"""
The same as `relay.py` over a websocket: frames in both directions while somebody decides.

Each direction takes one frame, lets the `Talk` decide about it, and sends it on before it
takes the next; so whoever reads slowly slows the other one down, and nothing is gathered.
What is under way when the caller leaves or the gateway stops is read to its end, bounded in
time and number as streams are, because OpenAI bills it all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from gateway.relay import Drains, Receive, Send
from gateway.upstream_answers import without_ours
from gateway.upstream_errors import UpstreamBroken
from gateway.upstream_socket import UpstreamClosed, UpstreamSocket
from gateway.ws_errors import ENDED_BY_FAULT, ENDED_BY_STOP, SessionEnds

NORMAL = 1000
WIND_UP_WITHIN_S = 5.0
STOP_WITHIN_S = 50.0  # Below the time after which uvicorn cuts what still runs.


class CallerGone(Exception):
    """The caller has closed the websocket, or it broke."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Stopping(Exception):
    """The gateway stops; the caller is still there."""


class Caller:
    """The caller's end of a websocket. Frames are JSON texts; None stands for a binary one."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.gone = False

    async def frame(self) -> str | None:
        """
        The next frame.

        Raises:
            CallerGone, Stopping
        """
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            if message.get("code") == ENDED_BY_STOP:
                raise Stopping
            self.gone = True
            raise CallerGone(message.get("code") or NORMAL)
        text: str | None = message.get("text")
        return text

    async def send(self, frame: bytes) -> None:
        """Send a frame, or drop it where nobody is left; waits for a slow reader."""
        if self.gone:
            return
        try:
            text = frame.decode()
        except UnicodeDecodeError:
            raise UpstreamBroken("a frame of the upstream is not UTF-8") from None
        await self._tell({"type": "websocket.send", "text": text})

    async def close(self, code: int, reason: str = "") -> None:
        """Close it, once."""
        if not self.gone:
            await self._tell({"type": "websocket.close", "code": code, "reason": reason})
            self.gone = True

    async def _tell(self, message: dict[str, Any]) -> None:
        try:
            await self._send(message)
        except (OSError, RuntimeError):
            # uvicorn says so of a socket that was closed before or meanwhile.
            self.gone = True


class Talk(Protocol):
    """Decides about each frame, and meters what it leads to."""

    idle: asyncio.Event
    failed: asyncio.Future[None]

    async def from_caller(self, frame: str | None) -> None:
        """Check a frame, hold what it may cost, send it on; or tell why not."""
        ...

    async def from_openai(self, frame: bytes) -> None:
        """Read what a frame says of usage, settle what it ends, send it on."""
        ...

    def beside(self) -> list[Coroutine[Any, Any, None]]:
        """What runs as long as the websocket does."""
        ...

    async def wind_up(self, *, is_left: bool) -> None:
        """Begin nothing new; what runs for a caller who has left may end early."""
        ...

    async def tell(self, error: Exception, *, code: str | None = None) -> None:
        """Say what went wrong, as an event; `code` in place of the error's own."""
        ...

    def end(self, error: BaseException) -> None:
        """Settle what is still under way."""
        ...


async def converse(caller: Caller, upstream: UpstreamSocket, talk: Talk, drains: Drains) -> None:
    """Let both ends talk until one of them, or we, have had enough; everything is settled then."""
    loop = asyncio.get_running_loop()
    hearing = loop.create_task(_hear_openai(upstream, talk))
    tasks = [loop.create_task(_hear_caller(caller, talk)), hearing]
    tasks += [loop.create_task(work) for work in talk.beside()]
    ended: BaseException = asyncio.CancelledError()
    try:
        ended = await _first(*tasks, talk.failed)
        if isinstance(ended, (CallerGone, Stopping)):
            await _finish_what_runs(talk, hearing, drains, is_left=isinstance(ended, CallerGone))
    finally:
        for task in tasks:
            task.cancel()
        talk.end(ended)
        await asyncio.gather(*tasks, return_exceptions=True)
        talk.end(ended)  # A hold that was granted in this moment.
    await _say_goodbye(ended, caller, upstream, talk)


async def _hear_caller(caller: Caller, talk: Talk) -> None:
    while True:
        await talk.from_caller(await caller.frame())


async def _hear_openai(upstream: UpstreamSocket, talk: Talk) -> None:
    async for frame in upstream.frames():
        await talk.from_openai(frame)


async def _first(*ends: asyncio.Future[None]) -> BaseException:
    """Why the first of them ended; where two did at once, ours goes before a mere close."""
    done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    errors = [error for end in done if (error := end.exception()) is not None]
    assert errors, "none of them comes back"
    return min(errors, key=lambda error: isinstance(error, (UpstreamClosed, CallerGone, Stopping)))


async def _finish_what_runs(
    talk: Talk, hearing: asyncio.Task[None], drains: Drains, *, is_left: bool
) -> None:
    try:
        async with asyncio.timeout(WIND_UP_WITHIN_S):
            await talk.wind_up(is_left=is_left)
    except (TimeoutError, UpstreamClosed):
        return  # OpenAI does not listen any more.
    if talk.idle.is_set() or (is_left and not drains.has_room):
        return
    drains.running += is_left
    idle = asyncio.ensure_future(talk.idle.wait())
    try:
        within_s = drains.within_s if is_left else STOP_WITHIN_S
        await asyncio.wait({idle, hearing}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        idle.cancel()
        drains.running -= is_left


async def _say_goodbye(
    ended: BaseException, caller: Caller, upstream: UpstreamSocket, talk: Talk
) -> None:
    """Close both ends, each with what the other one or we have said."""
    code, reason = NORMAL, ""
    if isinstance(ended, SessionEnds):
        code = ended.code
        await talk.tell(ended.error, code=ended.told_as)
    elif isinstance(ended, UpstreamClosed):
        code, reason = _passable(ended.code), without_ours(ended.reason.encode()).decode()
    elif isinstance(ended, Stopping):
        code, reason = ENDED_BY_STOP, "the gateway is restarting; connect again"
    elif not isinstance(ended, CallerGone):
        code = ENDED_BY_FAULT
        if isinstance(ended, Exception):
            await talk.tell(ended)
    await upstream.close(_passable(ended.code) if isinstance(ended, CallerGone) else NORMAL)
    await caller.close(code, reason)


def _passable(code: int) -> int:
    """A close code as it may be sent; some only describe how a socket ended."""
    if 3000 <= code < 5000 or (1000 <= code <= 1014 and code not in (1004, 1005, 1006)):
        return code
    return NORMAL if code == 1005 else ENDED_BY_FAULT
