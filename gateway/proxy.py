"""
THE MAIN PATH: authenticate → read → hold → forward → relay → settle.

Read `__call__` from top to bottom; every other file explains one of its lines. There is
no exit on which a hold could be forgotten: whatever happens between the hold and the end
of the block, `_settle` runs, and it only hands the settlement over, so nothing can
cancel it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from time import monotonic
from typing import Any

from gateway.access_log import AccessLog
from gateway.background.settler import Settler
from gateway.binary_reply import is_binary, pass_binary
from gateway.endpoints import Endpoint
from gateway.error_replies import reply_to, said_of
from gateway.errors import GatewayError
from gateway.holding import Holding
from gateway.intake import Intake
from gateway.job_facts import goes_on
from gateway.long_reply import LongReply
from gateway.made_within import MadeWithin
from gateway.metered_call import MeteredCall
from gateway.open_calls import OpenCall, OpenCalls
from gateway.owning import Owning
from gateway.quote import Quotes
from gateway.read_call import ClientLeft
from gateway.relay import Drains, Receive, Send, relay_stream
from gateway.replays import Recording, Replays, check_in_time
from gateway.reply import Reply, figure_comment, figure_headers, held_headers
from gateway.settlement import Settlement
from gateway.tally import Tally
from gateway.upstream import UpstreamReply
from gateway.upstream_answers import ERROR_BODY_MOST_BYTES, our_fault, without_ours
from gateway.upstream_headers import reply_headers
from gateway.upstreams import Upstreams
from gateway.withheld import withheld
from storage.ids import new_id

log = logging.getLogger(__name__)

# 128 choices of 128,000 tokens are far below it; no reply may fill the memory.
JSON_REPLY_MOST_BYTES = 64 * 1024 * 1024

# As nginx writes it: the caller left, so it was answered nothing.
LEFT_STATUS = 499


class Proxy:
    """Serves metered calls. Everything it needs is given; it keeps nothing of a call."""

    def __init__(
        self,
        *,
        intake: Intake,
        quotes: Quotes,
        owning: Owning,
        holding: Holding,
        upstreams: Upstreams,
        settler: Settler,
        open_calls: OpenCalls,
        drains: Drains,
        replays: Replays,
        access_log: AccessLog,
        tally: Tally,
        out_of_credits_status: int,
    ) -> None:
        self._intake = intake
        self._quotes = quotes
        self._owning = owning
        self._holding = holding
        self._upstreams = upstreams
        self._settler = settler
        self._open_calls = open_calls
        self._drains = drains
        self._replays = replays
        self._access_log = access_log
        self._tally = tally
        self._out_of_credits_status = out_of_credits_status

    async def __call__(
        self, scope: dict[str, Any], receive: Receive, send: Send, endpoint: Endpoint
    ) -> None:
        """Serve one call, whatever becomes of it."""
        metered: MeteredCall | None = None
        answer = Reply(send)
        try:
            metered = await self._intake.read(scope["headers"], receive, endpoint)
            if metered.name is not None and await self._replays.answered(metered, answer):
                return
            metered.hold = await self._holding.hold(metered)
            try:
                check_in_time(metered)
                self._begin(metered)
                async with self._drains.bounded(receive, streams=metered.quote.call.streams):
                    await self._forward(metered, endpoint, answer)
            except BaseException as error:
                self._note_failure(metered, error)
                raise
            finally:
                self._open_calls.remove(metered.id)
                self._settle(metered)
        except (ClientLeft, TimeoutError):
            pass  # Nobody is there to be told.
        except Exception as error:
            await self._tell(error, answer, metered)
        finally:
            if isinstance(answer.send, Recording):
                answer.send.close()
            if metered is not None:
                metered.quote.close()
            self._write_line(endpoint, metered, answer)

    def _begin(self, metered: MeteredCall) -> None:
        """Fit the call to what was granted, and watch it from now on."""
        if metered.was_fitted:
            metered.quote = self._quotes.fit(metered.quote, metered.granted)
        quote = metered.quote
        metered.reader = quote.meter.reader(
            quote.call, quote.row, asked_for_usage=quote.asked_for_usage
        )
        self._open_calls.add(
            OpenCall(metered.holder.business, metered.id, metered.metered, metered.granted)
        )

    async def _forward(self, metered: MeteredCall, endpoint: Endpoint, answer: Reply) -> None:
        """Send the metered body to OpenAI and pass the answer on."""
        asked_ms = metered.elapsed_ms()
        metered.sent = True
        metered.asked_at = monotonic()
        reply = await self._upstreams.of(metered.holder).open(
            self._upstreams.endpoint(metered.holder, endpoint.method, endpoint.path),
            metered.quote.sent,
            transaction_id=metered.id,
        )
        async with reply:
            metered.upstream_request_id = _text(reply.header(b"x-request-id"))
            if not 200 <= reply.status < 300:
                await self._pass_error(reply, metered, answer)
            elif reply.header(b"content-type").startswith(b"text/event-stream"):
                async with withheld(answer, metered, self._owning):
                    await self._pass_stream(reply, metered, answer, asked_ms)
            elif endpoint.binary and is_binary(reply):
                await pass_binary(reply, metered, answer, asked_ms)
                self._settle(metered)
                await answer.end(b"")
            else:
                await self._pass_json(reply, metered, answer, asked_ms)

    async def _pass_json(
        self, reply: UpstreamReply, metered: MeteredCall, answer: Reply, asked_ms: int
    ) -> None:
        long = LongReply(reply, most_bytes=JSON_REPLY_MOST_BYTES)
        body = await long.read()
        metered.answered_at = monotonic() if body is not None else None
        assert metered.reader is not None
        metered.first_byte_ms = answered_ms = metered.elapsed_ms()
        metered.http_status = reply.status
        metered.delivered = True
        if body is None:
            metered.reader.upstream_id = long.id()
            await self._own(metered)
            await answer.start(reply.status, [*reply_headers(reply), *held_headers(metered)])
            metered.reader.feed_json(await long.pass_on(answer.send))
            metered.complete = metered.reader.error is None
            self._settle(metered)
            await answer.end(b"")
            return
        metered.reader.feed_json(body)
        if metered.reader.error is not None:
            body = without_ours(body)
        await self._own(metered, body)
        metered.complete = metered.reader.error is None
        await self._settle_now(metered)
        overhead_ms = metered.elapsed_ms() - answered_ms + asked_ms
        headers = [*reply_headers(reply), *figure_headers(metered)]
        headers.append((b"x-gateway-overhead-ms", b"%d" % overhead_ms))
        await answer.reply(reply.status, headers, body)

    async def _pass_stream(
        self, reply: UpstreamReply, metered: MeteredCall, answer: Reply, asked_ms: int
    ) -> None:
        metered.http_status = reply.status
        overhead_ms = b"%d" % asked_ms
        headers = [*reply_headers(reply), *held_headers(metered)]
        headers.append((b"x-gateway-overhead-ms", overhead_ms))
        await answer.start(reply.status, headers)
        await relay_stream(reply, answer.send, metered)
        assert metered.reader is not None
        last = metered.reader.finish()
        if self._owning.keeps(metered):
            await self._owning.note_tokens(metered)
        if metered.quote.labels.figures_in_stream:
            await self._settle_now(metered)
            last += figure_comment(metered)
        else:
            self._settle(metered)
        await answer.end(last)

    async def _own(self, metered: MeteredCall, body: bytes = b"") -> None:
        """Write down whose the reply is, before anything of it leaves."""
        if self._owning.keeps(metered):
            made = MadeWithin()
            made.see_json(body)
            await self._owning.keep(metered)
            await self._owning.keep_within(metered, made)

    async def _pass_error(self, reply: UpstreamReply, metered: MeteredCall, answer: Reply) -> None:
        """An answer that is no reply: about the call it is passed on, about us it is not."""
        body = await reply.read(ERROR_BODY_MOST_BYTES)
        fault = our_fault(reply.status, body)
        if fault is not None:
            raise fault
        self._tally.upstream_answered(reply.status)
        metered.http_status = reply.status
        self._settle(metered)
        headers = [*reply_headers(reply), *figure_headers(metered)]
        await answer.reply(reply.status, headers, without_ours(body))

    def _note_failure(self, metered: MeteredCall, error: BaseException) -> None:
        """What the row will say of a call that ended without a reply of its own."""
        metered.complete = False
        self._tally.upstream_failed(error)
        if metered.http_status is None:
            answered = isinstance(error, Exception) and not isinstance(error, TimeoutError)
            metered.http_status = said_of(error).status if answered else LEFT_STATUS
        # Only an error that says so is known to have sent nothing to OpenAI.
        unseen = not isinstance(error, GatewayError) and getattr(error, "sent", True)
        metered.cost_is_open = metered.sent and unseen
        metered.cut_by_caller = isinstance(error, TimeoutError)

    def _settle(self, metered: MeteredCall) -> None:
        """Hand the settlement over, once; it never waits and never fails."""
        if metered.settled:
            return
        metered.settled = True
        if goes_on(metered):
            return
        if metered.needs_counting():
            self._hand_over(metered, metered.counted_settlement())
        else:
            self._hand_over(metered, metered.settlement())

    async def _settle_now(self, metered: MeteredCall) -> None:
        """The same where the reply shows the charge: a usage that is missing is counted first."""
        if goes_on(metered):
            metered.settled = True
            return
        if metered.needs_counting():
            settlement = await metered.counted_settlement()
        else:
            settlement = metered.settlement()
        metered.settled = True
        self._hand_over(metered, settlement)

    def _hand_over(self, metered: MeteredCall, ended: Settlement | Awaitable[Settlement]) -> None:
        if metered.recording is not None:
            self._settler.settle_when(metered.recording.settled_after(ended))
        elif isinstance(ended, Settlement):
            self._settler.settle(ended)
        else:
            self._settler.settle_when(ended)

    async def _tell(self, error: Exception, answer: Reply, metered: MeteredCall | None) -> None:
        """Say what went wrong: as a reply, or as the last event of a stream that is cut."""
        said = reply_to(error, out_of_credits_status=self._out_of_credits_status)
        if said.status == 500:
            log.error("call_failed", exc_info=error)
        if metered is not None and metered.hold is not None:
            said.headers.append((b"x-transaction-id", metered.id.encode()))
        await answer.tell(said, request_id=metered.id if metered else new_id())

    def _write_line(self, endpoint: Endpoint, metered: MeteredCall | None, answer: Reply) -> None:
        line: dict[str, Any] = {
            "event": "call_finished",
            "endpoint": endpoint.name,
            "status": answer.status,
            "code": answer.code,
        }
        if metered is not None:
            line |= metered.line()
        self._access_log.write(line)
        self._tally.call_ended(endpoint.name, metered, answer)


def _text(value: bytes) -> str | None:
    return value.decode("ascii", "replace")[:128] or None
