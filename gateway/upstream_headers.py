"""Which headers of OpenAI's replies a caller may see."""

from __future__ import annotations

import re

from gateway.upstream import UpstreamReply

# What of OpenAI's reply a caller may see. The rest describes our account (x-ratelimit-*,
# openai-organization), is a cookie of ours, or belongs to this one connection.
PASSED_ON = frozenset(
    {
        b"content-type",
        b"content-disposition",
        b"openai-processing-ms",
        b"openai-version",
        b"retry-after",
        b"retry-after-ms",
        b"x-request-id",
        b"x-should-retry",
    }
)
ONE_LINE = re.compile(rb"[\x20-\x7e\t]*")


def reply_headers(reply: UpstreamReply) -> list[tuple[bytes, bytes]]:
    """
    The headers of OpenAI's reply that the caller may see.

    An allow-list, so nothing of a connection, an account or a cookie can slip through; a
    header that the reply itself ties to the connection, or that is not one line, stays here.
    """
    tied = [name.strip().lower() for name in reply.header(b"connection").split(b",")]
    return [
        (name, value)
        for name, value in reply.headers
        if name in PASSED_ON and name not in tied and ONE_LINE.fullmatch(value)
    ]
