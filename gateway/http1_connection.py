"""Connection: one socket to a server, one call at a time."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import httpx2

from gateway.http1_alarm import Alarm
from gateway.http1_parser import ReplyParser
from gateway.http1_reply import Reply
from gateway.http1_request import Outgoing
from gateway.http1_upload import Upload

IDLE_S = 55.0  # Below the 60 s after which load balancers drop a silent connection.
# Only "the other side has closed": an idle TLS connection may have a session ticket to read.
CLOSED_EVENTS = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
JOINED_MAX_BYTES = 64 * 1024  # Below this, one write with a copy is cheaper than two writes.

Origin = tuple[str, str, int]  # scheme, host, port


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call waits: seconds, and for all of it a time on the loop's clock."""

    first_byte_s: float | None
    progress_s: float | None
    total_s: float | None
    ends_at: float | None

    def until(self, now: float, wait_s: float | None) -> float | None:
        """When a wait of `wait_s` that begins now is over, at the latest when the call is."""
        if wait_s is None:
            return self.ends_at
        return now + wait_s if self.ends_at is None else min(now + wait_s, self.ends_at)

    def at_most(self, now: float, wait_s: float | None) -> float | None:
        """The same as seconds from now."""
        until = self.until(now, wait_s)
        return None if until is None else max(0.0, until - now)


NO_HURRY = Patience(None, None, None, None)


class Connection(asyncio.Protocol):
    """
    Writes a request and reads the reply to it; nothing is ever written twice.

    `freed` is called once for every call that was asked, with whether the connection can
    take another one; `lost` is called once, when the socket is gone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        origin: Origin,
        *,
        freed: Callable[[Connection, bool], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self.origin = origin
        self._loop = loop
        self._freed = freed
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser = ReplyParser()
        self._alarm = Alarm(loop, self._time_is_up)
        self._poll = select.poll()
        self._reply: Reply | None = None
        self._upload: Upload | None = None
        self._paused = False
        self._patience = NO_HURRY
        self._idle_until = 0.0

    def ask(self, outgoing: Outgoing, patience: Patience) -> Reply:
        """Write one request; the reply that is given back fills as it arrives."""
        transport = self._transport
        assert transport is not None
        assert self._reply is None, "one call at a time"
        self._parser.start_over()
        self._paused = False
        self._patience = patience
        if len(outgoing.body) <= JOINED_MAX_BYTES:
            transport.write(outgoing.head + outgoing.body)
        else:
            transport.write(outgoing.head)
            transport.write(outgoing.body)
        self._await_head()
        self._reply = Reply(self._loop, self)
        if outgoing.long is not None:
            self._upload = Upload(
                outgoing.long, transport, progressed=self._await_head, failed=self._fail
            )
        return self._reply

    def can_be_asked(self) -> bool:
        """
        Whether the server has not closed it, and is not likely to do so soon.

        The kernel is asked, for it may know what the loop has not yet seen: a request that
        was written to a closed connection must not be sent again.
        """
        transport = self._transport
        if transport is None or transport.is_closing() or self._loop.time() >= self._idle_until:
            return False
        return not self._poll.poll(0)

    def abort(self) -> None:
        """Close at once; the reader of a reply that is still coming is told so."""
        self._fail(httpx2.ReadError("the connection was closed by us"))

    def pause(self) -> None:
        """Stop reading: the reader is slower than the server."""
        if self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()
            # The silence is ours now, so only the whole call can come to its end.
            self._alarm.set(self._patience.ends_at)

    def resume(self) -> None:
        """Read on."""
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
            self._await_progress()

    def pause_writing(self) -> None:
        """The server reads slower than a long body is written."""
        if self._upload is not None:
            self._upload.pause()

    def resume_writing(self) -> None:
        """The server has read on."""
        if self._upload is not None:
            self._upload.resume()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio's do and are not derived from them.
        self._transport = cast(asyncio.Transport, transport)
        self._idle_until = self._loop.time() + IDLE_S
        self._poll.register(transport.get_extra_info("socket").fileno(), CLOSED_EVENTS)

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            # Nobody asked. It must never be taken for the reply to the next request.
            self.abort()
            return
        parser = self._parser
        wrong = parser.feed(data)
        if parser.status:
            reply.begin(parser.status, parser.headers)
            if chunk := parser.take():
                reply.give(chunk)
        if parser.complete:
            self._finish(reply)
        elif wrong is not None:
            self._fail(wrong)
        elif parser.status:
            if not self._paused:
                self._await_progress()
            reply.wake()

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, error: Exception | None) -> None:
        if error is None:
            self._end()
        else:
            self._fail(httpx2.ReadError(f"the connection broke ({type(error).__name__})"))
        self._transport = None
        self._alarm.stop()
        self._lost(self)

    def _await_head(self) -> None:
        """The wait for a reply begins, again with each piece of a long body that was taken."""
        if not self._parser.status:
            patience = self._patience
            self._alarm.set(patience.until(self._loop.time(), patience.first_byte_s))

    def _await_progress(self) -> None:
        patience = self._patience
        self._alarm.set(patience.until(self._loop.time(), patience.progress_s))

    def _end(self) -> None:
        """The server has closed its side."""
        if self._reply is not None and self._parser.status and self._parser.ends_with_connection:
            self._finish(self._reply)
        elif self._parser.status:
            self._fail(httpx2.RemoteProtocolError("the connection was closed within the reply"))
        else:
            self._fail(httpx2.RemoteProtocolError("the connection was closed without a reply"))

    def _finish(self, reply: Reply) -> None:
        """The reply is whole; the connection can take another call, or is closed."""
        transport = self._transport
        assert transport is not None
        keeps = (
            self._stop_upload()
            and self._parser.keeps_alive
            and not transport.is_closing()
            # A reply that came before all of the request was read leaves the rest of it behind.
            and transport.get_write_buffer_size() == 0
        )
        idle_s = self._parser.idle_s
        # One second before the server does what it said, so that the two do not meet.
        self._idle_until = self._loop.time() + (
            IDLE_S if idle_s is None else min(IDLE_S, idle_s - 1)
        )
        self._reply = None
        self._alarm.set(None)
        if not keeps:
            transport.abort()
        elif self._paused:
            self._paused = False
            transport.resume_reading()
        reply.finish()
        self._freed(self, keeps)

    def _fail(self, error: httpx2.TransportError) -> None:
        """Close at once, and tell the reader why."""
        reply, self._reply = self._reply, None
        self._stop_upload()
        self._alarm.set(None)
        if self._transport is not None:
            self._transport.abort()
        if reply is not None:
            reply.fail(error)
            self._freed(self, False)

    def _stop_upload(self) -> bool:
        """Write no more of a long body; whether all of it had been written."""
        upload, self._upload = self._upload, None
        if upload is None or upload.done:
            return True
        upload.stop()
        return False

    def _time_is_up(self) -> None:
        patience = self._patience
        if patience.ends_at is not None and self._loop.time() >= patience.ends_at:
            message = f"the call took longer than {patience.total_s:g} s"
        elif not self._parser.status:
            message = f"no reply came within {patience.first_byte_s:g} s"
        else:
            message = f"nothing more of the reply came within {patience.progress_s:g} s"
        self._fail(httpx2.ReadTimeout(message))
