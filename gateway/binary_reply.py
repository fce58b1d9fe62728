"""
A reply that is neither JSON nor events, such as speech: passed on byte for byte as it comes.

Its reader is told what it is before the first byte. Nothing can be written into such a reply,
so an error in its middle only ends it, and its figures are those of the hold.
"""

from __future__ import annotations

from typing import Protocol, cast

from gateway.metered_call import MeteredCall
from gateway.relay import relay_stream
from gateway.reply import Reply, held_headers
from gateway.upstream import UpstreamReply
from gateway.upstream_headers import reply_headers
from metering.meters.meter import UsageReader

NOT_BYTES = (b"application/json", b"text/event-stream")


class BytesReader(UsageReader, Protocol):
    """A `UsageReader` of an endpoint whose replies may be bytes."""

    def expects_bytes(self, content_type: str) -> None:
        """What `feed` is given from now on is of this type, and no events."""
        ...


def is_binary(reply: UpstreamReply) -> bool:
    """Whether this reply is to be passed on as bytes, by what it says it is."""
    return not reply.header(b"content-type").startswith(NOT_BYTES)


async def pass_binary(
    reply: UpstreamReply, metered: MeteredCall, answer: Reply, asked_ms: int
) -> None:
    """Pass it on to its end; the caller settles, and then ends the answer."""
    reader = cast(BytesReader, metered.reader)
    metered.http_status = reply.status
    answer.is_binary = True
    reader.expects_bytes(reply.header(b"content-type").decode("latin-1"))
    headers = [*reply_headers(reply), *held_headers(metered)]
    headers.append((b"x-gateway-overhead-ms", b"%d" % asked_ms))
    await answer.start(reply.status, headers)
    await relay_stream(reply, answer.send, metered)
    reader.finish()
