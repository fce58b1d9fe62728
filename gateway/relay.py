"""
Passes a reply on byte for byte while a reader watches; reads on when the caller has left.

A caller that hangs up has been billed for by OpenAI all the same. So the reply is read to
its end, bounded in time and in number, and then charged exactly; past the bound it is cut,
and what was seen is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from gateway.metered_call import MeteredCall
from gateway.upstream import UpstreamReply
from gateway.upstream_answers import without_ours

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Drains:
    """
    Replies that are read on for callers who have left.

    Args:
        within_s: How long a reply is read on after its caller left.
        most: How many at once; the next caller's reply is cut when it leaves.
    """

    def __init__(self, *, within_s: float, most: int) -> None:
        self._within_s = within_s
        self._most = most
        self.running = 0

    @property
    def within_s(self) -> float:
        """How long a reply is read on."""
        return self._within_s

    @property
    def has_room(self) -> bool:
        """Whether one more may be read on."""
        return self.running < self._most

    @asynccontextmanager
    async def bounded(self, receive: Receive, *, streams: bool = True) -> AsyncIterator[None]:
        """
        Let the block run as long as the caller is there, and then for `within_s` more.

        A reply that is not streamed comes in one piece, of which nothing was seen until
        then: it is waited for as long as the upstream's own time limits allow.

        Raises:
            TimeoutError: The caller has left and the time, or the number, is over.
        """
        async with asyncio.timeout(None) as limit:
            watching = self._watch(receive, limit, within_s=self._within_s if streams else None)
            watch = asyncio.get_running_loop().create_task(watching)
            try:
                yield
            finally:
                if watch.done() and not watch.cancelled() and watch.exception() is None:
                    self.running -= 1
                watch.cancel()

    async def _watch(
        self, receive: Receive, limit: asyncio.Timeout, *, within_s: float | None
    ) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        now = asyncio.get_running_loop().time()
        if self.running >= self._most:
            limit.reschedule(now)
        elif within_s is not None:
            limit.reschedule(now + within_s)
        self.running += 1


async def relay_stream(reply: UpstreamReply, send: Send, metered: MeteredCall) -> None:
    """
    Pass a stream on, each chunk at once, all but its last bytes.

    The reader may keep back the one usage event that the caller did not ask for. What it
    still holds at the end is left to the caller of this function, who settles first. Every
    byte stays as it was, but for the names of our account in the text of an error.
    """
    reader = metered.reader
    assert reader is not None
    async for chunk in reply.chunks():
        if not metered.delivered:
            metered.delivered = True
            metered.first_byte_ms = metered.elapsed_ms()
        passed = reader.feed(chunk)
        if reader.error is not None:
            # OpenAI's texts about limits name the organisation that all businesses share.
            passed = without_ours(passed)
        if passed:
            await send({"type": "http.response.body", "body": passed, "more_body": True})
    metered.complete = reader.error is None
