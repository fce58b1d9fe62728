"""A caller that sends bytes as they are: clients tidy up paths and headers before sending."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from tests.house import MODEL, Acme, House

ANSWERED_WITHIN_S = 20.0  # Nothing here takes a second on an idle machine.

HELLO = json.dumps(
    {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}, separators=(",", ":")
).encode()


@dataclass(frozen=True)
class Answer:
    """A reply, taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """What is in OpenAI's envelope."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


async def sends(house: House, *pieces: bytes) -> Answer:
    """Send these bytes on a connection of their own; the reply to them, up to its end."""
    host, port = house.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            status, headers = _head(head)
            length = int(headers.get("content-length", "0"))
            return Answer(status, headers, await reader.readexactly(length))
    finally:
        writer.close()


def request(method: str, target: str | bytes, *headers: str, body: bytes = b"") -> bytes:
    """A request as it stands on the wire; it asks to close the connection."""
    target = target if isinstance(target, bytes) else target.encode()
    lines = ["Host: gateway.example", *headers, f"Content-Length: {len(body)}", "Connection: close"]
    head = method.encode() + b" " + target + b" HTTP/1.1\r\n"
    return head + "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


def authorization(acme: Acme) -> str:
    """The header line with the key of a business."""
    return f"Authorization: Bearer {acme.key}"


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers
