"""
The stub OpenAI over websockets: what its sessions have in common.

A session answers as the script says that holds when a response is asked for, bills each
response once (what was written, when it is cut), and keeps every frame that came.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.dev.stub_bills import Bills
from gateway.dev.stub_script import Script
from gateway.dev.stub_server import Receive, Scope, Send
from metering import tokens

ENCODING = "o200k_base"


@dataclass
class StubSocket:
    """
    One websocket as it arrived at the stub.

    Attributes:
        frames: Every frame that came, as objects.
        closed: With which code the other end closed it; None while it is open.
    """

    path: str
    query: str
    headers: list[tuple[bytes, bytes]]
    frames: list[dict[str, Any]] = field(default_factory=list)
    closed: int | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def header(self, name: bytes) -> bytes:
        """The value of a header, by its lower-case name; empty when there is none."""
        return dict(self.headers).get(name, b"")

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """The frames of one type."""
        return [frame for frame in self.frames if frame.get("type") == kind]

    async def until(self, told: Callable[[StubSocket], bool]) -> None:
        """Wait until `told` of what has come."""
        async with self.changed:
            await self.changed.wait_for(lambda: told(self))


class SocketClosed(Exception):
    """The other end has left, or the script told the stub to close."""


class Session(ABC):
    """One session: frames in, frames out, bills."""

    def __init__(
        self,
        socket: StubSocket,
        receive: Receive,
        send: Send,
        bills: Bills,
        next_script: Callable[[], Script],
    ) -> None:
        self.socket = socket
        self.bills = bills
        self.next_script = next_script
        self._receive = receive
        self._send = send
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until one end closes."""
        await self.begin()
        try:
            while True:
                frame = await self._frame()
                async with self.socket.changed:
                    self.socket.frames.append(frame)
                    self.socket.changed.notify_all()
                try:
                    await self.take(frame)
                except (AttributeError, KeyError, TypeError, ValueError):
                    error = {"type": "invalid_request_error", "code": None, "message": "no"}
                    await self.say("error", error=error | {"event_id": frame.get("event_id")})
        except SocketClosed:
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            async with self.socket.changed:
                self.socket.closed = self.socket.closed or 1006
                self.socket.changed.notify_all()

    async def begin(self) -> None:  # noqa: B027 - most say nothing first.
        """What is said first."""

    @abstractmethod
    async def take(self, frame: dict[str, Any]) -> None:
        """Answer a frame."""

    def start(self, work: Any) -> None:
        """Do something while frames come on."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def say(self, kind: str, **fields: Any) -> None:
        """Send a frame."""
        event = {"type": kind, "event_id": f"event_{secrets.token_hex(8)}", **fields}
        await self.send_text(json.dumps(event))

    async def send_text(self, text: str) -> None:
        """Send what may be no frame at all."""
        try:
            await self._send({"type": "websocket.send", "text": text})
        except OSError:
            raise SocketClosed from None

    async def close(self, code: int) -> None:
        """Close it from this end, and do nothing more."""
        await self._send({"type": "websocket.close", "code": code})
        raise SocketClosed

    async def _frame(self) -> dict[str, Any]:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self.socket.closed = message.get("code") or 1005
            raise SocketClosed
        frame: dict[str, Any] = json.loads(message.get("text") or "{}")
        return frame


def counted(text: str) -> int:
    """Tokens of a text."""
    return tokens.count(text, ENCODING)


def new_id(prefix: str) -> str:
    """An id as OpenAI makes them."""
    return f"{prefix}_{secrets.token_hex(12)}"


async def accept(scope: Scope, receive: Receive, send: Send) -> StubSocket:
    """Accept a websocket."""
    await receive()
    headers = [(b"x-request-id", new_id("req").encode()), (b"openai-organization", b"org-stub")]
    await send({"type": "websocket.accept", "headers": headers})
    query = scope["query_string"].decode()
    return StubSocket(scope["path"], query, list(scope["headers"]))


async def refuse(status: int, body: bytes, receive: Receive, send: Send) -> None:
    """Answer a handshake with an error."""
    await receive()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
