"""
How a script call reaches Redis: on the lane of the server that has its partition.

Every script is idempotent by its id, so a call whose answer was lost is simply asked
again; a time-out means "unknown", never "no".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha1
from importlib import resources
from typing import Any

from redis.asyncio import Redis

from storage.redis_clients import ANSWER_WITHIN_S, connect
from storage.redis_lane import Asked, Script
from storage.redis_lanes import lanes_to

__all__ = ["NAMES", "Script", "Scripts", "connect", "load"]

LEDGER = (
    "hold",
    "renew",
    "settle",
    "credit",
    "open",
    "count",
    "expire",
    "audit",
    "begin",
    "freeze",
    "overdue",
    "lease",
)
REPLAYS = ("claim", "keep", "unclaim")
NAMES = (*LEDGER, *REPLAYS)


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


class Scripts:
    """
    Calls scripts.

    Args:
        redis: Says where Redis is, as whom to go there and which database it is.
        on_answered: Told of each batch: how many scripts, and how many seconds.
        on_failed: Told of each batch without an answer: how many scripts.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        answer_within_s: float = ANSWER_WITHIN_S,
        on_answered: Callable[[int, float], None] = lambda scripts, seconds: None,
        on_failed: Callable[[int], None] = lambda scripts: None,
    ) -> None:
        self._scripts = {name: load(name) for name in NAMES}
        self._lanes = lanes_to(
            redis,
            answer_within_s=answer_within_s,
            on_answered=on_answered,
            on_failed=on_failed,
        )
        self._send = self._lanes.call

    def steady_since(self, partition: int) -> float | None:
        """
        Monotonic seconds since when the server of a partition has answered without a failure.

        None while it does not.
        """
        return self._lanes.steady(partition)

    async def call(self, name: str, keys: Sequence[str], arguments: Sequence[str]) -> list[Any]:
        """
        Run a script and give back its answer, a list that begins with a word.

        Raises:
            LedgerUnavailable: No answer in time, no connection, or Redis refused (out of
                memory, read-only, busy, loading, disk full). It may have run all the same
                when the reason is `IN_DOUBT`.
        """
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._send(Asked(self._scripts[name], keys, arguments, answer))
        return await answer

    async def close(self) -> None:
        """Wait for what is under way, and close the connections."""
        await self._lanes.close()
