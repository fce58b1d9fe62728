"""
A JSON reply that may be too long to be kept whole.

Up to a bound it is read before anything is sent, so that the figures can stand in the
headers. Past it the rest is passed on as it comes, and the usage is found near its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from gateway.relay import Send
from gateway.upstream import UpstreamReply

TAIL_BYTES = 64 * 1024  # OpenAI writes the usage after the choices; it has a few hundred bytes.

_ID = re.compile(rb'"id"\s*:\s*"([A-Za-z0-9_-]{1,128})"')


class LongReply:
    """One reply, read up to a bound and passed on from there."""

    def __init__(self, reply: UpstreamReply, *, most_bytes: int) -> None:
        self._chunks: AsyncIterator[bytes] = reply.chunks()
        self._most_bytes = most_bytes
        self._pieces: list[bytes] = []

    async def read(self) -> bytes | None:
        """The whole body; None when it is longer than the bound, then `pass_on` goes on."""
        length = 0
        async for chunk in self._chunks:
            self._pieces.append(chunk)
            length += len(chunk)
            if length > self._most_bytes:
                return None
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    def id(self) -> str | None:
        """What OpenAI calls the reply, as far as its beginning tells."""
        found = _ID.search(self._pieces[0][:TAIL_BYTES]) if self._pieces else None
        return found[1].decode() if found else None

    async def pass_on(self, send: Send) -> bytes:
        """Send everything on; a small JSON body with the usage that stands near the end."""
        tail = b""
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            tail = (tail + piece)[-TAIL_BYTES:]
        self._pieces.clear()
        async for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            tail = (tail + chunk)[-TAIL_BYTES:]
        return usage_near_the_end(tail)


def usage_near_the_end(tail: bytes) -> bytes:
    """
    `{"usage": …}` from the last bytes of a reply; `{}` when there is none.

    A quote within a text is written with a backslash, so the name in quotes is the key.
    """
    start = tail.find(b"{", tail.rfind(b'"usage"')) if b'"usage"' in tail else -1
    if start < 0:
        return b"{}"
    text = tail[start:].decode("utf-8", "replace")
    try:
        usage: Any = json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        return b"{}"
    return msgspec.json.encode({"usage": usage})
