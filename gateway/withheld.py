"""Keeps the first bytes of a stream back until it is written down whose the reply is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.made_within import MadeWithin
from gateway.metered_call import MeteredCall
from gateway.owning import Owning
from gateway.reply import Reply

MOST_BYTES = 1024 * 1024
"""OpenAI's first event names the reply; one that has not done so by then names none."""


@asynccontextmanager
async def withheld(answer: Reply, metered: MeteredCall, owning: Owning) -> AsyncIterator[None]:
    """
    Let nothing of a reply that OpenAI keeps out before it has an owner.

    When it cannot have one, nothing of it was sent, and the error is a reply of its own.

    Raises:
        RecordsUnavailable: From within the block, by whoever sends.
    """
    if not owning.keeps(metered):
        yield
        return
    gate = _Gate(answer.send, metered, owning)
    outer, answer.send = answer.send, gate
    try:
        yield
    finally:
        answer.send = outer
        if not gate.open:
            answer.status = None


class _Gate:
    """Passes messages on; until the reply has an owner they wait here."""

    def __init__(self, send: Any, metered: MeteredCall, owning: Owning) -> None:
        self._send = send
        self._metered = metered
        self._owning = owning
        self._waiting: list[dict[str, Any]] = []
        self._bytes = 0
        self._made = MadeWithin()
        self.open = False

    async def __call__(self, message: dict[str, Any]) -> None:
        is_body = message["type"] == "http.response.body"
        if is_body:
            self._made.see_chunk(message.get("body", b""))
        if is_body and not message.get("more_body", False):
            await self._owning.keep_within(self._metered, self._made)
        if self.open:
            await self._send(message)
            return
        self._waiting.append(message)
        self._bytes += len(message.get("body", b""))
        reader = self._metered.reader
        is_named = reader is not None and reader.upstream_id is not None
        ends = is_body and not message.get("more_body", False)
        if is_named or ends or self._bytes > MOST_BYTES:
            await self._owning.keep(self._metered)
            self.open = True
            for each in self._waiting:
                await self._send(each)
            self._waiting.clear()
