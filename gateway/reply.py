"""What goes back to the caller: its status, our headers with the figures, and its errors."""

from __future__ import annotations

from gateway.error_replies import ErrorReply
from gateway.job_facts import goes_on
from gateway.metered_call import MeteredCall
from gateway.rate_headers import rate_headers
from gateway.read_call import Headers
from gateway.relay import Send


class Reply:
    """
    The reply to one caller.

    Attributes:
        status: What it began with; None while nothing was sent.
        code: The code of the error that was told.
        is_binary: Nothing of ours may stand in it.
    """

    def __init__(self, send: Send) -> None:
        self.send = send
        self.status: int | None = None
        self.code = ""
        self.is_binary = False

    async def start(self, status: int, headers: Headers) -> None:
        self.status = status
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def end(self, body: bytes) -> None:
        await self.send({"type": "http.response.body", "body": body})

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.end(body)

    async def tell(self, said: ErrorReply, *, request_id: str) -> None:
        """As a reply of its own, or in a stream as its last event, without a proper end."""
        self.code = said.code
        if self.status is None:
            headers = [*said.headers, (b"x-request-id", request_id.encode())]
            await self.reply(said.status, headers, said.body)
            return
        if self.is_binary:
            return
        event = b"data: " + said.body + b"\n\n"
        await self.send({"type": "http.response.body", "body": event, "more_body": True})


def held_headers(metered: MeteredCall) -> Headers:
    headers = [
        (b"x-transaction-id", metered.id.encode()),
        (b"x-credits-held", str(metered.granted).encode()),
    ]
    if metered.upstream_request_id is None:
        headers.append((b"x-request-id", metered.id.encode()))
    if metered.was_fitted or metered.shortened:
        limit = b"%d" % metered.quote.output_limit
        headers.append((b"x-credits-max-output-tokens", limit))
    return headers + rate_headers(metered.hold.rates if metered.hold else None)


def figure_headers(metered: MeteredCall) -> Headers:
    if goes_on(metered):
        return held_headers(metered)
    return [
        *held_headers(metered),
        (b"x-credits-used", str(metered.used).encode()),
        (b"x-credits-remaining", str(metered.remaining).encode()),
    ]


def figure_comment(metered: MeteredCall) -> bytes:
    if goes_on(metered):
        return b""
    figures = f"x-credits-used={metered.used} x-credits-remaining={metered.remaining}"
    return f": {figures} x-transaction-id={metered.id}\n\n".encode()
