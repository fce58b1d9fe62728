"""ReplyParser: the bytes of a connection → status, headers and body, or what is wrong with them."""

from __future__ import annotations

import httptools
import httpx2

HEAD_MAX_BYTES = 64 * 1024  # OpenAI's heads are about 1.5 KB; nginx allows itself 32.
HEADERS_MAX = 128  # OpenAI sends about 25.


class ReplyParser:
    """
    Reads one reply after another from one connection.

    Stricter than HTTP allows, because a reply that two readers could understand in two ways
    is how one caller is given the answer of another: one way to say the length, no trailers,
    no change of protocol. Interim replies (1xx) are passed over.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.start_over()

    def start_over(self) -> None:
        """Forget the reply that was read; the next bytes begin another."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self.keeps_alive = False
        self.ends_with_connection = False
        self.idle_s: float | None = None
        self._parts: list[bytes] = []
        self._head_bytes = 0

    def feed(self, data: bytes) -> httpx2.RemoteProtocolError | None:
        """Read on; the answer is what is wrong, and then nothing more must be fed."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return _refusal("it changes the protocol, which nobody asked for")
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, httpx2.RemoteProtocolError):
                return error.__context__
            return _refusal(str(error))
        if not self.status:
            # A name or a value without an end is not seen by `on_header`.
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX_BYTES:
                return _refusal(f"its head is longer than {HEAD_MAX_BYTES} bytes")
        return None

    def take(self) -> bytes:
        """What has come of the body since the last `take`, as one piece."""
        parts = self._parts
        if not parts:
            return b""
        self._parts = []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def on_message_begin(self) -> None:
        if self.complete:
            self.keeps_alive = False
            raise _refusal("more came than was asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status:
            raise _refusal("it has trailers")
        self._head_bytes += len(name) + len(value) + 4
        self.headers.append((name.lower(), value))
        if self._head_bytes > HEAD_MAX_BYTES:
            raise _refusal(f"its head is longer than {HEAD_MAX_BYTES} bytes")
        if len(self.headers) > HEADERS_MAX:
            raise _refusal(f"it has more than {HEADERS_MAX} headers")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 101:
            raise _refusal("it changes the protocol, which nobody asked for")
        if status < 200:
            self.headers = []
            return
        self._read_framing(status, self._parser.get_http_version())
        self.status = status

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        if self.status:
            self.complete = True
            self.keeps_alive = self._parser.should_keep_alive()

    def _read_framing(self, status: int, version: str) -> None:
        """Find out how the body ends, and refuse what could be understood in two ways."""
        sized = False
        codings: list[bytes] = []
        for name, value in self.headers:
            if name == b"content-length":
                sized = True
            elif name == b"transfer-encoding":
                codings.append(value.strip().lower())
            elif name == b"keep-alive":
                self.idle_s = _timeout_of(value)
        if version not in ("1.1", "1.0"):
            raise _refusal(f"its version is HTTP/{version}")
        # A length beside chunks, two lengths or one that is no number: llhttp refuses those.
        if codings and (codings != [b"chunked"] or version == "1.0"):
            raise _refusal("its transfer-encoding is not plain chunked")
        self.ends_with_connection = not sized and not codings and status not in (204, 304)


def _refusal(reason: str) -> httpx2.RemoteProtocolError:
    return httpx2.RemoteProtocolError(f"the reply is not one that can be read: {reason}")


def _timeout_of(keep_alive: bytes) -> float | None:
    """The seconds of `Keep-Alive: timeout=5, max=100`, after which the server closes."""
    for part in keep_alive.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name.lower() == b"timeout" and value.isdigit() and len(value) < 10:
            return float(value)
    return None
