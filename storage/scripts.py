"""
How a script call reaches Redis: batched, timed, re-sent safely, loaded when missing.

All scripts asked for in one turn of the event loop leave together, on one connection.
Every script is idempotent by its id, so a call whose answer was lost is simply asked
again; a time-out means "unknown", never "no".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from hashlib import sha1
from importlib import resources
from time import monotonic
from typing import Any, NamedTuple

from hiredis import ReplyError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from storage.errors import IN_DOUBT, LedgerUnavailable
from storage.redis_wire import Command, NotConnected, Replies, Wire

log = logging.getLogger(__name__)

NAMES = ("hold", "renew", "settle", "credit", "open", "begin", "freeze")

# Redis answers in well under a millisecond; with an fsync on a slow disk in tens of
# them. A second of silence means that it is stopped or out of reach.
ANSWER_WITHIN_S = 1.0

# Batches under way at once. While they are, calls gather for the next one, so that a
# loaded gateway sends few large pipelines (and Redis makes one fsync for each).
BATCHES_MOST = 2

# A pipeline of this many scripts keeps Redis busy for some milliseconds.
BATCH_MOST = 256


class Script(NamedTuple):
    """The text of a script, and the SHA-1 under which Redis keeps it."""

    text: str
    sha: str


def load(name: str) -> Script:
    """A script of `storage/lua`, the prelude in front, a shebang line before both."""
    folder = resources.files("storage") / "lua"
    prelude = (folder / "prelude.lua").read_text()
    text = (folder / f"{name}.lua").read_text()
    if text.startswith("#!"):
        shebang, _, text = text.partition("\n")
        whole = f"{shebang}\n{prelude}\n{text}"
    else:
        whole = f"{prelude}\n{text}"
    return Script(whole, sha1(whole.encode()).hexdigest())


def connect(url: str, *, answer_within_s: float = ANSWER_WITHIN_S) -> Redis:
    """
    A client for this software's Redis; nothing is sent yet.

    The library's default of ten retries with growing pauses would keep a caller
    waiting for 4 to 40 seconds; one immediate retry is what a stale connection needs.
    """
    return Redis.from_url(
        url,
        socket_timeout=answer_within_s,
        socket_connect_timeout=answer_within_s,
        retry=Retry(NoBackoff(), 1),
        decode_responses=True,
        # What is no UTF-8 cannot have been written by us; it is buried, not crashed on.
        encoding_errors="backslashreplace",
        protocol=2,
    )


class _Asked(NamedTuple):
    name: str
    keys: Sequence[str]
    arguments: Sequence[str]
    answer: asyncio.Future[list[Any]]


class Scripts:
    """
    Calls scripts in batches, on one connection.

    Args:
        redis: Says where Redis is, as whom to go there and which database it is.

    Attributes:
        steady_since: Monotonic seconds since when Redis has answered without a failure;
            None while it does not.
    """

    def __init__(self, redis: Redis, *, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self._redis = redis
        self._answer_within_s = answer_within_s
        self._scripts = {name: load(name) for name in NAMES}
        self._wire: Wire | None = None
        self._opening = asyncio.Lock()
        self._waiting: list[_Asked] = []
        self._running: set[asyncio.Task[None]] = set()
        self._send_is_due = False
        self.steady_since: float | None = None

    async def call(self, name: str, keys: Sequence[str], arguments: Sequence[str]) -> list[Any]:
        """
        Run a script and give back its answer, a list that begins with a word.

        Raises:
            LedgerUnavailable: No answer in time, no connection, or Redis refused (out of
                memory, read-only, busy, loading, disk full). It may have run all the same
                when the reason is `IN_DOUBT`.
        """
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(name, keys, arguments, answer))
        self._make_due()
        return await answer

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
        task = asyncio.get_running_loop().create_task(self._ask(batch))
        self._running.add(task)
        task.add_done_callback(self._end_batch)

    def _end_batch(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._make_due()

    async def _ask(self, batch: list[_Asked]) -> None:
        try:
            answers = await self._run(batch)
        except OSError as error:
            self._failed(batch, error)
        except BaseException as error:
            # A future that is never answered would keep its caller waiting for ever.
            self._failed(batch, error)
            raise
        else:
            self._answered(batch, answers)

    async def _run(self, batch: list[_Asked]) -> Replies:
        commands = [self._by_digest(asked) for asked in batch]
        try:
            replies = await self._send(commands)
        except (NotConnected, TimeoutError):
            raise
        except ConnectionError:
            # Redis was started anew, or the connection was stale.
            replies = await self._send_more(commands)
        missing = [i for i, reply in enumerate(replies) if _is_not_loaded(reply)]
        if missing:
            again = await self._send_more([self._by_text(batch[i]) for i in missing])
            for i, reply in zip(missing, again, strict=True):
                replies[i] = reply
        return replies

    async def _send(self, commands: list[Command]) -> Replies:
        async with self._opening:
            if self._wire is None or not self._wire.is_open:
                self._wire = await Wire.open(self._redis, answer_within_s=self._answer_within_s)
            sent = self._wire.send(commands)
        return await sent

    async def _send_more(self, commands: list[Command]) -> Replies:
        """The same, after something of the batch was sent: it may have run."""
        try:
            return await self._send(commands)
        except NotConnected as error:
            raise ConnectionError(str(error)) from error

    def _by_digest(self, asked: _Asked) -> Command:
        sha = self._scripts[asked.name].sha
        return ("EVALSHA", sha, len(asked.keys), *asked.keys, *asked.arguments)

    def _by_text(self, asked: _Asked) -> Command:
        text = self._scripts[asked.name].text
        return ("EVAL", text, len(asked.keys), *asked.keys, *asked.arguments)

    def _answered(self, batch: list[_Asked], replies: Replies) -> None:
        if self.steady_since is None:
            self.steady_since = monotonic()
        for asked, reply in zip(batch, replies, strict=True):
            if isinstance(reply, ReplyError):
                self.steady_since = None
            if asked.answer.done():
                continue  # Its caller was cancelled.
            if isinstance(reply, ReplyError):
                asked.answer.set_exception(_refused(reply))
            else:
                asked.answer.set_result(reply)

    def _failed(self, batch: list[_Asked], error: BaseException) -> None:
        if self.steady_since is not None:
            log.warning("redis_lost", extra={"error": str(error)[:200]})
        self.steady_since = None
        for asked in batch:
            if not asked.answer.done():
                asked.answer.set_exception(_unanswered(error))


def _is_not_loaded(reply: Any) -> bool:
    return isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT")


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
