"""
Websockets to OpenAI: our key in, allow-listed headers, no proxy, no redirect, no compression.

`websockets` waits for who reads slowly in both directions and bounds what it keeps, so a
caller that does not read slows OpenAI down and fills no memory.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from gateway.error_replies import ErrorReply
from gateway.upstream import USER_AGENT
from gateway.upstream_answers import our_fault, without_ours
from gateway.upstream_errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from gateway.upstream_headers import PASSED_ON

QUEUED_MOST = 2  # Frames that came and were not taken; then OpenAI has to wait.
WRITE_BUFFER_BYTES = 64 * 1024
PING_S = 20.0  # As OpenAI's own clients do; twice as long without an answer is the end.
CLOSE_WITHIN_S = 5.0

Header = tuple[bytes, bytes]

_log = logging.Logger("gateway.websockets", logging.CRITICAL + 1)


class UpstreamRefused(Exception):
    """OpenAI answered the handshake with an error about the call; it is passed on."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(f"OpenAI answered {reply.status}")
        self.reply = reply


class UpstreamClosed(Exception):
    """OpenAI has closed the socket, or it broke (`code` 1006)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code}")
        self.code = code
        self.reason = reason


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc  # A redirect would carry our key to another place.


class UpstreamSocket:
    """One websocket to OpenAI. Frames are texts, as its API knows no others."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        response = connection.response
        self.request_id = response.headers.get("x-request-id", "") if response else ""

    async def send(self, frame: bytes) -> None:
        """
        Send one frame; waits while OpenAI does not read.

        Raises:
            UpstreamClosed
        """
        try:
            await self._connection.send(frame, text=True)
        except ConnectionClosed as closed:
            raise _closed(closed) from None

    async def frames(self) -> AsyncIterator[bytes]:
        """
        Every frame that comes.

        Raises:
            UpstreamClosed: At the end, always.
        """
        while True:
            try:
                frame = await self._connection.recv(decode=False)
            except ConnectionClosed as closed:
                raise _closed(closed) from None
            assert isinstance(frame, bytes)
            yield frame

    async def close(self, code: int = 1000) -> None:
        """Done with it; may be said more than once."""
        await self._connection.close(code)


class UpstreamSockets:
    """
    Opens websockets to OpenAI.

    Args:
        base_url: With its path prefix, as in "https://api.openai.com/v1".
        api_key: Ours. It is in no repr, error or log.
        connect_timeout_s: From the connection to the end of the handshake.
        frame_max_bytes: Of one message; a longer one ends the socket.
    """

    def __init__(
        self, base_url: str, api_key: str, *, connect_timeout_s: float, frame_max_bytes: int
    ) -> None:
        scheme, _, rest = base_url.rstrip("/").partition("://")
        self._base_url = f"{'wss' if scheme == 'https' else 'ws'}://{rest}"
        self._authorization = f"Bearer {api_key}"
        self._connect_timeout_s = connect_timeout_s
        self._frame_max_bytes = frame_max_bytes

    async def open(
        self, path: str, query: dict[str, str], *, headers: list[tuple[str, str]], id: str
    ) -> UpstreamSocket:
        """
        Connect and shake hands.

        Args:
            path: Of the endpoint's table, below the base URL.
            headers: Those of the caller that are on the allow-list.
            id: Ours, for OpenAI's log.

        Raises:
            UpstreamRefused, UpstreamUnreachable, UpstreamTimeout, UpstreamBroken
            UpstreamRefusedOurKey, UpstreamAccountEmpty, UpstreamMisbehaved
        """
        url = self._base_url + path + (f"?{urlencode(query)}" if query else "")
        given = [("Authorization", self._authorization), ("X-Client-Request-Id", id), *headers]
        try:
            connection = await _Connect(
                url,
                additional_headers=given,
                user_agent_header=USER_AGENT.decode(),
                compression=None,
                proxy=None,
                open_timeout=self._connect_timeout_s,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=CLOSE_WITHIN_S,
                max_size=self._frame_max_bytes,
                max_queue=QUEUED_MOST,
                write_limit=WRITE_BUFFER_BYTES,
                logger=_log,
            )
        except InvalidStatus as answered:
            raise _refused(answered.response) from None
        except TimeoutError:
            raise UpstreamTimeout("the upstream did not open a websocket in time") from None
        except OSError as error:
            kind = type(error).__name__
            raise UpstreamUnreachable(f"the upstream cannot be reached: {kind}") from None
        except InvalidHandshake as error:
            kind = type(error).__name__
            raise UpstreamBroken(f"the upstream opens no websocket: {kind}", sent=False) from None
        return UpstreamSocket(connection)


def _closed(closed: ConnectionClosed) -> UpstreamClosed:
    if closed.rcvd is None:
        return UpstreamClosed(1006, "")
    return UpstreamClosed(closed.rcvd.code, closed.rcvd.reason)


def _refused(response: Any) -> Exception:
    body = bytes(response.body or b"")
    fault = our_fault(response.status_code, body)
    if fault is not None:
        return fault
    headers = [
        (name.lower().encode(), value.encode("latin-1", "replace"))
        for name, value in response.headers.raw_items()
        if name.lower().encode() in PASSED_ON
    ]
    return UpstreamRefused(
        ErrorReply(response.status_code, headers, without_ours(body), "upstream_refused")
    )
