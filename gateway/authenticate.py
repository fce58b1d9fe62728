"""
Bearer key → who is calling.

A key is looked up by its SHA-256; the key itself goes nowhere. What was found is
remembered for a few seconds, so that a busy key costs no SQL and a revoked one is
refused everywhere within 5 seconds even if the announcement of it is lost. Keys that are
not remembered are looked up together, so that a flood of made-up ones costs SQL no more
than a hundred questions a second.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from time import monotonic
from typing import Any

from gateway.errors import NotAuthenticated
from storage.errors import RecordsUnavailable
from storage.keys import KeyHolder

FRESH_S = 4.0  # With the time of one look-up this stays under the promised 5 s.
UNKNOWN_FRESH_S = 2.0  # A key that was issued this moment must not stay unknown for long.
REMEMBERED_MOST = 100_000  # About 100 MB of keys; unknown ones are forgotten first.

# One look-up at a time, of so many keys, and then a pause that nobody notices.
LOOKED_UP_MOST = 500
PAUSE_S = 0.01

_KEY = re.compile(rb"[Bb]earer +(gw-[A-Za-z0-9_-]{43})")

Answers = dict[bytes, asyncio.Future[KeyHolder | None]]
Find = Callable[[list[bytes]], Awaitable[dict[bytes, KeyHolder]]]


class Authenticate:
    """Finds the holder of a key, remembering what was found."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._known: OrderedDict[bytes, tuple[float, KeyHolder]] = OrderedDict()
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        self._waiting: Answers = {}
        self._asking: Answers = {}
        self._looking: asyncio.Task[None] | None = None

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
        # A look-up under way may have read the key before that; it must not be remembered.
        self._asking.pop(digest, None)

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

    def _ask_once(self, digest: bytes) -> asyncio.Future[KeyHolder | None]:
        """One question for one key, however many calls wait for its answer."""
        answer = self._waiting.get(digest) or self._asking.get(digest)
        if answer is None:
            loop = asyncio.get_running_loop()
            answer = self._waiting[digest] = loop.create_future()
            # Whoever asked may have left when it fails; then nobody is to be told.
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
            if self._looking is None:
                self._looking = loop.create_task(self._look_up())
        return answer

    async def _look_up(self) -> None:
        """Ask for what is waiting, some at a time, until nothing is."""
        try:
            while self._waiting:
                some = dict(islice(self._waiting.items(), LOOKED_UP_MOST))
                for digest in some:
                    del self._waiting[digest]
                await self._ask(some)
                await asyncio.sleep(PAUSE_S)
        finally:
            self._looking = None

    async def _ask(self, answers: Answers) -> None:
        self._asking = dict(answers)
        try:
            found = await self._find(list(answers))
        except Exception as error:
            for answer in answers.values():
                answer.set_exception(error)
            return
        finally:
            still, self._asking = self._asking, {}
        now = monotonic()
        for digest, answer in answers.items():
            holder = found.get(digest)
            if digest in still:
                self._note(digest, holder, now)
            answer.set_result(holder)

    def _note(self, digest: bytes, holder: KeyHolder | None, now: float) -> None:
        if holder is None:
            _remember(self._unknown, digest, now + UNKNOWN_FRESH_S)
            self._known.pop(digest, None)
        else:
            _remember(self._known, digest, (now + FRESH_S, holder))


def _remember(memory: OrderedDict[bytes, Any], digest: bytes, what: Any) -> None:
    memory[digest] = what
    memory.move_to_end(digest)
    if len(memory) > REMEMBERED_MOST:
        memory.popitem(last=False)


_HOW = "send the header `Authorization: Bearer gw-…` with a key of this gateway"
