"""A caller on a socket of its own, who reads as little as it likes and leaves as rudely."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from tests.house import MODEL

Way = Literal["closes", "resets", "half_closes"]
WAYS: tuple[Way, ...] = ("closes", "resets", "half_closes")

# Linger for 0 seconds: the kernel sends RST in place of FIN, as for a process that crashed.
_AT_ONCE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Answer:
    """A whole reply that is not a stream."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """OpenAI's code of an error; empty for none."""
        error = json.loads(self.body).get("error") or {}
        return str(error.get("code") or "")


class Caller:
    """Chat completions over one connection, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._seen = b""

    @classmethod
    async def connects(cls, url: str) -> Self:
        """A caller who is there and has said nothing yet."""
        address = urlsplit(url)
        return cls(*await asyncio.open_connection(address.hostname, address.port))

    async def asks(
        self,
        key: str,
        *,
        feature: str | None = None,
        body_bytes: int | None = None,
        **fields: Any,
    ) -> None:
        """Send a call; of its body only the first `body_bytes`, when that is said."""
        message = {"role": "user", "content": "Hello"}
        body = json.dumps({"model": MODEL, "messages": [message]} | fields).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n"
            f"authorization: Bearer {key}\r\n"
            + (f"x-feature: {feature}\r\n" if feature else "")
            + f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body[:body_bytes])
        await self._writer.drain()

    async def answer(self) -> Answer:
        """The whole reply, which is not a stream."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in head[1:] if line)
        headers = {name.lower(): value for name, _, value in pairs}
        body = await self._reader.readexactly(int(headers["content-length"]))
        return Answer(int(head[0].split(" ")[1]), headers, body)

    async def sees(self, text: bytes, times: int = 1) -> None:
        """Read on until `text` has come so often."""
        while self._seen.count(text) < times:
            piece = await self._reader.read(65536)
            assert piece, f"the reply ended: {self._seen[-500:]!r}"
            self._seen += piece

    def leaves(self, way: Way = "closes") -> None:
        """Go: close in good order, say that nothing more is sent, or drop the connection."""
        if way == "half_closes":
            self._writer.write_eof()
            return
        if way == "resets":
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._writer.transport.abort()
