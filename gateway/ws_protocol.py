"""
Websockets as they arrive: uvicorn's protocol on `websockets`, with the bounds it leaves open.

By itself it answers a bad handshake with a plain text or not at all, keeps a caller that reads
nothing for ever, gathers empty fragments without end, answers every ping to who does not
read, writes queries into the log, and cuts every socket the moment the gateway stops.
"""

from __future__ import annotations

import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.server import ServerProtocol

from gateway.error_replies import reply_to
from gateway.errors import RequestRefused
from storage.ids import new_id

FRAME_MOST_BYTES = 16 * 1024 * 1024
"""Of one message, in either direction; longer ones end the socket with 1009."""

FRAGMENTS_MOST = 4096  # No client cuts a message into so many; empty ones would never end.
CLOSE_WITHIN_S = 5.0  # A caller that does not answer a close is cut.
STOPPING = 1012
"""Told to the app when the gateway stops; unlike after other codes it may still send."""

_log = logging.getLogger("gateway.websockets")
_log.setLevel(logging.ERROR)  # It writes queries, and somebody may put a key into one.
_log.addFilter(lambda record: record.msg != "Invalid UTF-8 sequence received from client.")


class _Handshake(ServerProtocol):
    """The wire's own rules, whose refusals are in OpenAI's envelope."""

    def reject(self, status: Any, text: str) -> Response:
        said = reply_to(RequestRefused("this is no websocket handshake that can be read"))
        headers = [
            *said.headers,
            (b"x-request-id", new_id().encode()),
            (b"content-length", b"%d" % len(said.body)),
            (b"connection", b"close"),
        ]
        pairs = [(name.decode(), value.decode()) for name, value in headers]
        return Response(said.status, "Bad Request", Headers(pairs), said.body)


class SocketProtocol(WebSocketsSansIOProtocol):
    """One websocket of a caller."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.logger = _log
        self.conn = _Handshake(max_size=FRAME_MOST_BYTES, logger=_log)

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that cannot be read is answered, which uvicorn does not."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.handshake_complete = self.close_sent = True
            output = b"".join(self.conn.data_to_send())
            if not output:
                self.conn.send_response(self.conn.reject(400, ""))
                output = b"".join(self.conn.data_to_send())
            self.transport.write(output)
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """A further fragment of a message."""
        if len(self.frames) >= FRAGMENTS_MOST:
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer, unless earlier answers are not read."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def keepalive_timeout(self) -> None:
        """Cut who does not answer: what waits to be written to them would never go out."""
        super().keepalive_timeout()
        self.transport.abort()

    def shutdown(self) -> None:
        """The gateway stops: what runs may end, and then the app says so with 1012."""
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": STOPPING})
        else:
            super().shutdown()

    async def send(self, message: Any) -> None:
        """As uvicorn does; a caller that never answers a close is cut."""
        await super().send(message)
        if message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(CLOSE_WITHIN_S, self.transport.abort)
