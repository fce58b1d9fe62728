"""
Bearer key → who is calling.

A key is looked up by its SHA-256; the key itself goes nowhere. What was found is
remembered for a few seconds, so that a busy key costs no SQL and a revoked one is
refused everywhere within 5 seconds even if the announcement of it is lost.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256
from time import monotonic
from typing import Any

from gateway.errors import NotAuthenticated
from storage.errors import RecordsUnavailable
from storage.keys import KeyHolder

FRESH_S = 4.0  # With the time of one look-up this stays under the promised 5 s.
UNKNOWN_FRESH_S = 2.0  # A key that was issued this moment must not stay unknown for long.
REMEMBERED_MOST = 100_000  # About 100 MB of keys; unknown ones are forgotten first.

_KEY = re.compile(rb"[Bb]earer +(gw-[A-Za-z0-9_-]{43})")

Find = Callable[[bytes], Awaitable[KeyHolder | None]]


class Authenticate:
    """Finds the holder of a key, remembering what was found."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._known: OrderedDict[bytes, tuple[float, KeyHolder]] = OrderedDict()
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[KeyHolder | None]] = {}

    async def __call__(self, headers: list[tuple[bytes, bytes]]) -> KeyHolder:
        """
        The holder of the key in the Authorization header.

        Raises:
            NotAuthenticated: No key, more than one, a malformed, unknown, revoked or
                expired one. The text never repeats it.
            RecordsUnavailable: SQL is away and the key is not remembered.
        """
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) != 1:
            raise NotAuthenticated(_HOW if not given else "send one Authorization header, not more")
        found = _KEY.fullmatch(given[0])
        if not found:
            raise NotAuthenticated("this is not a key of this gateway: " + _HOW)
        holder = await self._holder(sha256(found[1]).digest())
        if holder is None:
            raise NotAuthenticated("this key is not known here; check it, or ask for a new one")
        if holder.revoked_at is not None:
            raise NotAuthenticated("this key has been revoked; use a newer one")
        if holder.expires_at is not None and holder.expires_at <= datetime.now(UTC):
            raise NotAuthenticated("this key has expired; use a newer one")
        return holder

    def forget(self, digest: bytes) -> None:
        """Look this key up anew at its next use: it was revoked."""
        self._known.pop(digest, None)
        self._unknown.pop(digest, None)

    async def _holder(self, digest: bytes) -> KeyHolder | None:
        now = monotonic()
        remembered = self._known.get(digest)
        if remembered and remembered[0] > now:
            return remembered[1]
        if self._unknown.get(digest, 0) > now:
            return None
        try:
            return await asyncio.shield(self._ask_once(digest))
        except RecordsUnavailable:
            # Nobody can revoke a key while SQL is away, so what was known still holds.
            if remembered:
                return remembered[1]
            raise

    def _ask_once(self, digest: bytes) -> asyncio.Task[KeyHolder | None]:
        """One look-up at a time for one key, however many calls wait for it."""
        task = self._asking.get(digest)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(digest))
            self._asking[digest] = task
            task.add_done_callback(lambda _: self._asking.pop(digest, None))
        return task

    async def _ask(self, digest: bytes) -> KeyHolder | None:
        holder = await self._find(digest)
        if holder is None:
            _remember(self._unknown, digest, monotonic() + UNKNOWN_FRESH_S)
            self._known.pop(digest, None)
        else:
            _remember(self._known, digest, (monotonic() + FRESH_S, holder))
        return holder


def _remember(memory: OrderedDict[bytes, Any], digest: bytes, what: Any) -> None:
    memory[digest] = what
    memory.move_to_end(digest)
    if len(memory) > REMEMBERED_MOST:
        memory.popitem(last=False)


_HOW = "send the header `Authorization: Bearer gw-…` with a key of this gateway"
