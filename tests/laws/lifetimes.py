"""How long each key in Redis lives, as `storage/redis_keys.py` says it."""

from __future__ import annotations

import re
from typing import Any

from storage.outbox import ANSWER_KEPT_MS
from storage.replays import KEPT_MS

_LASTING = re.compile(r"\{p(0\d|1[0-5])\}:(meta|account:[0-9a-f-]{36})")
_ANSWER = re.compile(r"\{p(0\d|1[0-5])\}:answer:[0-9a-f-]{36}")
_REPLAY = re.compile(r"\{p(0\d|1[0-5])\}:(replay:[0-9a-f-]{36}:[0-9a-f]{64}|kept(:[0-9a-f-]{36})?)")
_LIMITS = re.compile(r"\{p(0\d|1[0-5])\}:limits:[0-9a-f-]{36}")
_LOOPS = "recorder|sweeper|crediting|expiry|reconciler|payments|jobs|notifier"
_LEASE = re.compile(rf"\{{p(0\d|1[0-5])\}}:lease:({_LOOPS})")
_OUTBOX = re.compile(r"\{p(0\d|1[0-5])\}:outbox")


async def nothing_is_left(redis: Any) -> None:
    """
    No key is forgotten, once nothing runs and everything is in SQL.

    What `storage/redis_keys.py` lets live for ever is there; an answer has an end within
    its 600 seconds, what an Idempotency-Key stands for within a day; no hold, no deadline
    and no entry of an outbox is left.
    """
    async for key in redis.scan_iter():
        if _LASTING.fullmatch(key):
            assert await redis.ttl(key) == -1, f"{key} is to live for ever"
        elif _ANSWER.fullmatch(key):
            left_ms = await redis.pttl(key)
            # -2: it came to its end between the two questions.
            assert left_ms == -2 or 0 <= left_ms <= ANSWER_KEPT_MS, f"{key} has no end"
        elif _REPLAY.fullmatch(key):
            assert 0 <= await redis.pttl(key) <= KEPT_MS, f"{key} has no end within a day"
        elif _LIMITS.fullmatch(key):
            await _is_kept_as_long_as_needed(redis, key)
        elif _LEASE.fullmatch(key):
            assert await redis.pttl(key) != -1, f"{key} has no end"
        elif _OUTBOX.fullmatch(key):
            assert await redis.xlen(key) == 0, f"{key} is not empty"
        else:
            raise AssertionError(f"{key} was forgotten")


async def _is_kept_as_long_as_needed(redis: Any, key: str) -> None:
    counted, left_ms = await redis.hgetall(key), await redis.pttl(key)
    if left_ms == -2:
        return  # It came to its end between the questions.
    assert (counted["open"], counted["held"]) == ("0", "0"), f"{key}: {counted}"
    if "spent" in counted:
        assert left_ms == -1, f"{key}: what is spent is to live for ever"
    else:
        assert 0 <= left_ms <= 60_000, f"{key} has no end"
