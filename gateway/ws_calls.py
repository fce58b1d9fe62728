"""
The metered responses of websockets: each is one call, held before it is asked for.

What `proxy.py` does around one HTTP call, cut in two: `begin` up to the moment the frame may
go to OpenAI, `finish` from its end. Between them the call is among the open calls, so its
lease is renewed and its cost is noted. `finish` waits for nothing, so nothing can cancel it.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from gateway.access_log import AccessLog
from gateway.background.settler import Settler
from gateway.error_replies import said_of
from gateway.errors import GatewayError
from gateway.holding import Holding
from gateway.metered_call import MeteredCall
from gateway.open_calls import OpenCall, OpenCalls
from gateway.quote import Quote, Quotes
from gateway.read_call import DECODE_HERE_BYTES, Labels
from gateway.reply import Reply
from gateway.tally import Tally
from metering.call import Call
from storage.ids import new_id
from storage.keys import KeyHolder

LEFT_STATUS = 499  # As in proxy.py: the caller left, so it was answered nothing.


NOT_NEEDED_STATUS = 204  # Of a hold that was kept ready for a response that never came.


class CallerLeft(Exception):
    """The caller closed the websocket while a response was under way."""


class NotNeeded(Exception):
    """A hold returns: there was no response, or OpenAI refused to make one."""


_QUIET = (CallerLeft, NotNeeded, asyncio.CancelledError)


class SocketCalls:
    """Begins and ends the calls of websockets. Keeps nothing of a call."""

    def __init__(
        self,
        *,
        quotes: Quotes,
        holding: Holding,
        settler: Settler,
        open_calls: OpenCalls,
        access_log: AccessLog,
        tally: Tally,
    ) -> None:
        self._quotes = quotes
        self._holding = holding
        self._settler = settler
        self._open_calls = open_calls
        self._access_log = access_log
        self._tally = tally

    async def quote(self, call: Call, holder: KeyHolder, labels: Labels) -> Quote:
        """
        The most that a response may cost; nothing is asked of Redis.

        Raises:
            GatewayError, MeteringError: It is refused, whatever the balance.
        """
        if call.body_bytes > DECODE_HERE_BYTES:
            return await asyncio.to_thread(self._quotes.quote, call, holder, labels)
        return self._quotes.quote(call, holder, labels)

    async def begin(self, call: Call, holder: KeyHolder, labels: Labels) -> MeteredCall:
        """
        Hold what a response may cost; then its frame may be sent.

        Raises:
            GatewayError, MeteringError, StorageError: Nothing may be sent, nothing is held.
        """
        metered: MeteredCall | None = None
        try:
            quote = await self.quote(call, holder, labels)
            await self._quotes.check_feature_input(quote)
            metered = MeteredCall(new_id(), holder, quote, self._quotes)
            metered.hold = await self._holding.hold(metered)
        except Exception as error:
            self._write_line(call.endpoint, metered, error)
            raise
        if metered.was_fitted:
            metered.quote = self._quotes.fit(metered.quote, metered.granted)
        quote = metered.quote
        metered.reader = quote.meter.reader(
            quote.call, quote.row, asked_for_usage=quote.asked_for_usage
        )
        self._open_calls.add(
            OpenCall(holder.business, metered.id, metered.metered, metered.granted)
        )
        return metered

    def sent(self, metered: MeteredCall) -> None:
        """Its frame is on its way: from now on OpenAI may bill it."""
        metered.sent = True
        metered.asked_at = monotonic()

    def seen(self, metered: MeteredCall) -> None:
        """Its first event is about to be passed on."""
        if not metered.delivered:
            metered.delivered = True
            metered.http_status = 200
            metered.first_byte_ms = metered.elapsed_ms()

    def finish(self, metered: MeteredCall, error: BaseException | None = None) -> None:
        """
        Settle it, once, whatever it came to.

        Args:
            error: Why it has no proper end; None when OpenAI said that it is over.
        """
        if metered.settled:
            return
        metered.settled = True
        self._open_calls.remove(metered.id)
        assert metered.reader is not None
        if error is None:
            metered.complete = metered.reader.error is None
            metered.http_status = metered.http_status or 200
        else:
            self._note_failure(metered, error)
        if metered.needs_counting():
            self._settler.settle_when(metered.counted_settlement())
        else:
            self._settler.settle(metered.settlement())
        self._write_line(metered.quote.call.endpoint, metered, error)

    def release(self, metered: MeteredCall, status: int = NOT_NEEDED_STATUS) -> None:
        """Give back a hold that was kept ready and not needed, or that OpenAI refused to use."""
        metered.http_status = status
        self.finish(metered, NotNeeded())

    def _note_failure(self, metered: MeteredCall, error: BaseException) -> None:
        metered.complete = False
        if isinstance(error, NotNeeded):
            return
        self._tally.upstream_failed(error)
        if metered.http_status is None:
            metered.http_status = _status_of(error)
        unseen = not isinstance(error, GatewayError) and getattr(error, "sent", True)
        metered.cost_is_open = metered.sent and unseen
        metered.cut_by_caller = isinstance(error, CallerLeft)

    def _write_line(
        self, endpoint: str, metered: MeteredCall | None, error: BaseException | None
    ) -> None:
        answer = Reply(_nowhere)
        answer.status = metered.http_status if metered is not None else None
        if error is not None and not isinstance(error, _QUIET):
            said = said_of(error)
            answer.status, answer.code = said.status, said.code
        line: dict[str, Any] = {
            "event": "call_finished",
            "endpoint": endpoint,
            "transport": "websocket",
            "status": answer.status,
            "code": answer.code,
        }
        if metered is not None:
            line |= metered.line()
        self._access_log.write(line)
        self._tally.call_ended(endpoint, metered, answer)


def _status_of(error: BaseException) -> int:
    return LEFT_STATUS if isinstance(error, _QUIET) else said_of(error).status


async def _nowhere(message: dict[str, Any]) -> None:
    """A websocket's frames are sent elsewhere."""
