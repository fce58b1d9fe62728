"""A request to the stub OpenAI, and all that answering it takes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.dev.stub_bills import Bills
from gateway.dev.stub_script import Script
from gateway.dev.stub_server import Receive, Scope, Send


@dataclass(frozen=True)
class Received:
    """A request as it arrived at the stub."""

    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    query: bytes = b""

    def header(self, name: bytes) -> bytes:
        """The value of a header, by its lower-case name; empty when there is none."""
        return dict(self.headers).get(name, b"")

    @property
    def fields(self) -> Any:
        """The body, as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Asked:
    """One request on its way: where its reply goes, who is billed, how it was told to go."""

    request: Received
    scope: Scope
    receive: Receive
    send: Send
    bills: Bills
    transaction: str
    next_script: Callable[[], Script]
    jobs: dict[str, Any] = field(default_factory=dict)


Answer = Callable[[Asked], Awaitable[None]]
