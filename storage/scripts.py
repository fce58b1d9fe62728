"""
How a script call reaches Redis: batched, timed, re-sent safely, loaded when missing.

All scripts asked for in one turn of the event loop leave together in one pipeline.
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

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from storage.errors import IN_DOUBT, LedgerUnavailable

log = logging.getLogger(__name__)

NAMES = ("hold", "renew", "settle", "credit", "open", "begin", "freeze")

# Redis answers in well under a millisecond; with an fsync on a slow disk in tens of
# them. A second of silence means that it is stopped or out of reach.
ANSWER_WITHIN_S = 1.0

# Batches under way at once. While they are, calls gather for the next one, so that a
# loaded gateway sends few large pipelines (and Redis makes one fsync for each).
BATCHES_MOST = 4

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
        protocol=2,
    )


class _Asked(NamedTuple):
    name: str
    keys: Sequence[str]
    arguments: Sequence[str]
    answer: asyncio.Future[list[Any]]


class Scripts:
    """
    Calls scripts in batches.

    Attributes:
        steady_since: Monotonic seconds since when Redis has answered without a failure;
            None while it does not.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._scripts = {name: load(name) for name in NAMES}
        self._waiting: list[_Asked] = []
        self._running: set[asyncio.Task[None]] = set()
        self._send_is_due = False
        self.steady_since: float | None = None

    async def call(self, name: str, keys: Sequence[str], arguments: Sequence[str]) -> list[Any]:
        """
        Run a script and give back its answer, a list that begins with a word.

        Raises:
            LedgerUnavailable: No answer in time, no connection, or Redis refused (out of
                memory, read-only, busy, loading, disk full). It may have run all the same.
        """
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(name, keys, arguments, answer))
        self._make_due()
        return await answer

    async def close(self) -> None:
        """Wait for the batches under way."""
        while self._running:
            await asyncio.wait(self._running)

    def _make_due(self) -> None:
        if self._waiting and not self._send_is_due and len(self._running) < BATCHES_MOST:
            self._send_is_due = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._send_is_due = False
        batch, self._waiting = self._waiting[:BATCH_MOST], self._waiting[BATCH_MOST:]
        if not batch:
            return
        task = asyncio.get_running_loop().create_task(self._ask(batch))
        self._running.add(task)
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._make_due()

    async def _ask(self, batch: list[_Asked]) -> None:
        try:
            answers = await self._execute(batch, by_text=False)
            missing = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if missing:
                again = await self._execute([batch[i] for i in missing], by_text=True)
                for i, answer in zip(missing, again, strict=True):
                    answers[i] = answer
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(batch, error)
        except BaseException as error:
            # A future that is never answered would keep its caller waiting for ever.
            self._failed(batch, error)
            raise
        else:
            self._answered(batch, answers)

    async def _execute(self, batch: list[_Asked], *, by_text: bool) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for asked in batch:
            script = self._scripts[asked.name]
            command = ("EVAL", script.text) if by_text else ("EVALSHA", script.sha)
            pipeline.execute_command(*command, len(asked.keys), *asked.keys, *asked.arguments)
        return await pipeline.execute(raise_on_error=False)

    def _answered(self, batch: list[_Asked], answers: list[Any]) -> None:
        if self.steady_since is None:
            self.steady_since = monotonic()
        for asked, answer in zip(batch, answers, strict=True):
            if asked.answer.done():
                continue
            if isinstance(answer, ResponseError):
                self.steady_since = None
                asked.answer.set_exception(_refused(answer))
            else:
                asked.answer.set_result(answer)

    def _failed(self, batch: list[_Asked], error: BaseException) -> None:
        if self.steady_since is not None:
            log.warning("redis_lost", extra={"error": type(error).__name__})
        self.steady_since = None
        for asked in batch:
            if not asked.answer.done():
                asked.answer.set_exception(
                    LedgerUnavailable(
                        f"Redis did not answer ({type(error).__name__}); the change may or may "
                        "not have been made and is asked for again by its id",
                        reason=IN_DOUBT,
                    )
                )


def _refused(error: ResponseError) -> LedgerUnavailable:
    # Redis's own words name commands and states, never a key of ours or a prompt.
    return LedgerUnavailable(f"Redis refuses: {str(error)[:200]}", reason="refused")
