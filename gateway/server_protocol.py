"""
HTTP/1.1 as it arrives: what uvicorn's parser lets through, and what it says, is ours here.

By itself it reads `http://other/v1/x` and `/v1/x#part` as the path `/v1/x`, keeps a head of
any length before anybody is authenticated, drops the body of a call that offers an upgrade,
and answers what it cannot read with a plain text.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.endpoints import SOCKETS
from gateway.error_replies import reply_to
from gateway.errors import (
    GatewayError,
    HeadTooLarge,
    RequestRefused,
)
from storage.ids import new_id

HEAD_MOST_BYTES = 64 * 1024  # The SDKs send about one; two are common behind proxies.


class Protocol(HttpToolsProtocol):
    """One connection of a caller."""

    _in_head = True
    _head_bytes = 0
    _refusal: GatewayError | None = None

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        # It writes queries, and somebody may put a key into one. `access_log.py` does not.
        self.access_log = False

    def data_received(self, data: bytes) -> None:
        """Take what came, unless a head has no end."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_MOST_BYTES:
            self._refusal = _head_too_large()
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Match what was asked for as it was written, not what a parser makes of it."""
        if self._head_bytes > HEAD_MOST_BYTES and _size(self.headers) > HEAD_MOST_BYTES:
            self._refusal = _head_too_large()
            raise self._refusal
        self._in_head, self._head_bytes = False, 0
        if not _is_plain(self.headers, self.parser.get_http_version()):
            raise ValueError("not a plain HTTP/1.1 request")
        super().on_headers_complete()
        if self.url[:1] != b"/" or b"#" in self.url:
            self.scope["raw_path"] = self.url

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read as HTTP, in the envelope, and hang up."""
        if self.transport.is_closing():
            return
        error = self._refusal or RequestRefused("this is not an HTTP/1.1 request that can be read")
        reply = reply_to(error)
        headers = [
            *reply.headers,
            (b"x-request-id", new_id().encode()),
            (b"content-length", b"%d" % len(reply.body)),
            (b"connection", b"close"),
        ]
        status = HTTPStatus(reply.status)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(head + lines + b"\r\n" + reply.body)
        self.transport.close()

    def _should_upgrade_to_ws(self) -> bool:
        # Only what is served: `Doors` refuses the others with 426, their connection with them.
        path = self.url.partition(b"?")[0].decode("latin-1")
        is_served = path in SOCKETS and self.parser.get_method() == b"GET"
        return is_served and super()._should_upgrade_to_ws()

    def _unsupported_upgrade_warning(self) -> None:
        # The parser has stopped at the head: the body, if there is one, is lost, and so is
        # the connection. `Doors` says so instead of waiting for it.
        self.scope["state"]["upgrade"] = True
        self.cycle.keep_alive = False


def _is_plain(headers: list[tuple[bytes, bytes]], version: str) -> bool:
    """One host, and a body whose end two parsers see in the same place."""
    hosts = [value for name, value in headers if name == b"host"]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if len(hosts) > 1 or (version == "1.1" and not hosts):
        return False
    return not codings or (codings == [b"chunked"] and version == "1.1")


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)


def _head_too_large() -> HeadTooLarge:
    return HeadTooLarge(f"the headers are longer than the {HEAD_MOST_BYTES} bytes accepted here")
