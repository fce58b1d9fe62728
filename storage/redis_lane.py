"""
Lane: the way of script calls to one server, batched, timed, loaded when missing.

All calls of one turn of the event loop leave together, on one connection. A Cluster has a
lane for each server, so that one which is silent keeps nobody waiting but those who need it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, NamedTuple

from hiredis import ReplyError
from redis.asyncio import Redis

from storage.errors import IN_DOUBT, LedgerUnavailable
from storage.redis_wire import Command, NotConnected, Replies, Wire

log = logging.getLogger(__name__)

# Batches under way at once. While they are, calls gather for the next one, so that a
# loaded gateway sends few large pipelines (and Redis makes one fsync for each).
BATCHES_MOST = 2

# A pipeline of this many scripts keeps Redis busy for some milliseconds.
BATCH_MOST = 256


class Script(NamedTuple):
    """The text of a script, and the SHA-1 under which Redis keeps it."""

    text: str
    sha: str


class Asked:
    """
    A script call that waits for its answer.

    Attributes:
        since: When it was first sent to a server that does not have its partition.
    """

    __slots__ = ("answer", "arguments", "keys", "script", "since")

    def __init__(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str],
        answer: asyncio.Future[list[Any]],
    ) -> None:
        self.script = script
        self.keys = keys
        self.arguments = arguments
        self.answer = answer
        self.since: float | None = None

    def by_digest(self) -> Command:
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.arguments)

    def by_text(self) -> Command:
        return ("EVAL", self.script.text, len(self.keys), *self.keys, *self.arguments)


class Lane:
    """
    Calls scripts in batches, on one connection.

    Args:
        redis: Says where the server is, as whom to go there and which database it is.
        on_redirect: Told of an answer by which the server sends a call elsewhere; False
            when nobody there will answer it.
        on_answered: Told of each batch: how many scripts, and how many seconds.
        on_failed: Told of each batch without an answer: how many scripts.

    Attributes:
        steady_since: Monotonic seconds since when it has answered without a failure;
            None while it does not.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        answer_within_s: float,
        on_answered: Callable[[int, float], None],
        on_failed: Callable[[int], None],
        on_redirect: Callable[[Asked, ReplyError], bool] | None = None,
    ) -> None:
        self._redis = redis
        self._answer_within_s = answer_within_s
        self._on_redirect = on_redirect
        self._on_answered = on_answered
        self._on_failed = on_failed
        self._wire: Wire | None = None
        self._opening = asyncio.Lock()
        self._waiting: list[Asked] = []
        self._running: set[asyncio.Task[None]] = set()
        self._send_is_due = False
        self.steady_since: float | None = None

    def steady(self, partition: int) -> float | None:
        """Since when the server has answered, for every partition; None while it does not."""
        return self.steady_since

    def call(self, asked: Asked) -> None:
        """Send it with the next batch."""
        self._waiting.append(asked)
        self._make_due()

    def call_asking(self, asked: Asked) -> None:
        """Send it to a server that is just being given its partition."""
        task = asyncio.get_running_loop().create_task(self._ask([asked], self._run_asking))
        self._running.add(task)
        task.add_done_callback(self._end_batch)

    async def close(self) -> None:
        """Wait for the batches under way, and close the connection."""
        while self._running:
            await asyncio.wait(self._running)
        if self._wire is not None:
            self._wire.close()

    def _make_due(self) -> None:
        if self._waiting and not self._send_is_due and len(self._running) < BATCHES_MOST:
            self._send_is_due = True
            asyncio.get_running_loop().call_soon(self._start_batch)

    def _start_batch(self) -> None:
        self._send_is_due = False
        batch, self._waiting = self._waiting[:BATCH_MOST], self._waiting[BATCH_MOST:]
        if not batch:
            return
        task = asyncio.get_running_loop().create_task(self._ask(batch, self._run))
        self._running.add(task)
        task.add_done_callback(self._end_batch)

    def _end_batch(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._make_due()

    async def _ask(self, batch: list[Asked], run: Any) -> None:
        asked_at = monotonic()
        try:
            answers = await run(batch)
        except OSError as error:
            self._failed(batch, error)
        except BaseException as error:
            # A future that is never answered would keep its caller waiting for ever.
            self._failed(batch, error)
            raise
        else:
            self._on_answered(len(batch), monotonic() - asked_at)
            self._answered(batch, answers)

    async def _run(self, batch: list[Asked]) -> Replies:
        commands = [asked.by_digest() for asked in batch]
        try:
            replies = await self._send(commands)
        except (NotConnected, TimeoutError):
            raise
        except ConnectionError:
            # Redis was started anew, or the connection was stale.
            replies = await self._send_more(commands)
        missing = [i for i, reply in enumerate(replies) if _says(reply, "NOSCRIPT")]
        if missing:
            again = await self._send_more([batch[i].by_text() for i in missing])
            for i, reply in zip(missing, again, strict=True):
                replies[i] = reply
        demoted = [i for i, reply in enumerate(replies) if _says(reply, "READONLY")]
        if demoted and self._wire is not None:
            # It is no master any more; a new connection goes to where the master is now.
            self._wire.close()
            again = await self._send_more([batch[i].by_text() for i in demoted])
            for i, reply in zip(demoted, again, strict=True):
                replies[i] = reply
        return replies

    async def _run_asking(self, batch: list[Asked]) -> Replies:
        replies = await self._send([("ASKING",), batch[0].by_text()])
        return replies[1:]

    async def _send(self, commands: list[Command]) -> Replies:
        async with self._opening:
            if self._wire is None or not self._wire.is_open:
                # Whoever answers now may be another server, or one that forgot: who sweeps
                # looks at it first.
                self.steady_since = None
                self._wire = await Wire.open(self._redis, answer_within_s=self._answer_within_s)
            sent = self._wire.send(commands)
        return await sent

    async def _send_more(self, commands: list[Command]) -> Replies:
        """The same, after something of the batch was sent: it may have run."""
        try:
            return await self._send(commands)
        except NotConnected as error:
            raise ConnectionError(str(error)) from error

    def _answered(self, batch: list[Asked], replies: Replies) -> None:
        if self.steady_since is None:
            self.steady_since = monotonic()
        for asked, reply in zip(batch, replies, strict=True):
            if not isinstance(reply, ReplyError):
                if not asked.answer.done():  # Else its caller was cancelled.
                    asked.answer.set_result(reply)
            elif self._on_redirect is None or not self._on_redirect(asked, reply):
                self.steady_since = None
                if not asked.answer.done():
                    asked.answer.set_exception(_refused(reply))

    def _failed(self, batch: list[Asked], error: BaseException) -> None:
        if self.steady_since is not None:
            log.warning("redis_lost", extra={"error": str(error)[:200]})
        self.steady_since = None
        self._on_failed(len(batch))
        for asked in batch:
            if not asked.answer.done():
                asked.answer.set_exception(_unanswered(error))


def _says(reply: Any, word: str) -> bool:
    return isinstance(reply, ReplyError) and str(reply).startswith(word)


def _unanswered(error: BaseException) -> LedgerUnavailable:
    if isinstance(error, NotConnected):
        return LedgerUnavailable(
            f"Redis was not asked ({error}); nothing was changed", reason="unreachable"
        )
    return LedgerUnavailable(
        f"Redis did not answer ({type(error).__name__}); the change may or may not have been "
        "made and is asked for again by its id",
        reason=IN_DOUBT,
    )


def _refused(error: ReplyError) -> LedgerUnavailable:
    # Redis's own words name commands and states, never a key of ours or a prompt.
    return LedgerUnavailable(f"Redis refuses: {str(error)[:200]}", reason="refused")
