"""
The outbox: what Redis decided and SQL has not stored yet, one stream a partition.

A stream is read from its start and an entry is deleted only after SQL has it. There are
no consumer groups: SQL knows each entry by its id, so two readers do no harm.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, NamedTuple
from uuid import UUID

from redis.exceptions import RedisError

from storage import redis_keys
from storage.errors import LedgerUnavailable

KINDS = frozenset({"transaction", "taken_back", "expired"})
VERSION = "1"

# A late settle of a recorded call still finds its answer in Redis; past that, in SQL.
ANSWER_KEPT_MS = 600_000

# The end of the year 9999, past which Python has no time.
LATEST_MS = 253_402_300_799_999


@dataclass(slots=True)
class Entry:
    """
    One change that Redis made.

    Attributes:
        entry_id: Its id in the stream of the partition.
        kind: transaction, taken_back or expired; "unreadable" when it is none of them.
        balance: The total after it, micro-credits.
        fields: The entry as it was read, all of it text.
        why: What makes it unreadable; empty when it is not.
    """

    partition: int
    entry_id: str
    kind: str
    epoch: int = 0
    counter: int = 0
    business: str = ""
    seq: int = 0
    credit_seq: int = 0
    at_ms: int = 0
    balance: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    why: str = ""

    @property
    def id(self) -> str:
        """The id of the transaction or movement: the same however often it is read."""
        return self.fields.get("id", "")


async def read(redis: Any, partitions: Iterable[int], count: int) -> list[Entry]:
    """
    The oldest entries, at most `count` a partition, in one round trip.

    Of a Cluster that has lost a server, what the others have: theirs need not wait.

    Raises:
        LedgerUnavailable: Redis does not answer.
    """
    asked = list(partitions)
    pipeline = redis.pipeline(transaction=False)
    for partition in asked:
        pipeline.xrange(redis_keys.outbox(partition), count=count)
    streams = await _answered(pipeline, some_will_do=True)
    return [
        entry_of(partition, entry_id, fields)
        for partition, stream in zip(asked, streams, strict=True)
        if not isinstance(stream, BaseException)
        for entry_id, fields in stream
    ]


async def latest(redis: Any, partition: int, count: int) -> list[Entry]:
    """
    The newest entries of a partition, at most `count`, the newest first.

    Raises:
        LedgerUnavailable: Redis does not answer.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.xrevrange(redis_keys.outbox(partition), count=count)
    (stream,) = await _answered(pipeline)
    return [entry_of(partition, entry_id, fields) for entry_id, fields in stream]


async def forget(redis: Any, entries: Collection[Entry]) -> None:
    """
    Delete entries that SQL has, in one round trip.

    Raises:
        LedgerUnavailable: Redis does not answer; SQL will know them when they are read again.
    """
    if not entries:
        return
    answers: dict[int, list[str]] = defaultdict(list)
    ids: dict[int, list[str]] = defaultdict(list)
    for entry in entries:
        ids[entry.partition].append(entry.entry_id)
        if entry.kind == "transaction":
            answers[entry.partition].append(redis_keys.answer(entry.partition, entry.id))
    pipeline = redis.pipeline(transaction=False)
    for partition, gone in ids.items():
        keys = [redis_keys.outbox(partition), *answers[partition]]
        # One command for all of a partition: one for each entry would cost us more than
        # the round trip that they share.
        pipeline.eval(_forget(), len(keys), *keys, ANSWER_KEPT_MS, *gone)
    await _answered(pipeline)


@cache
def _forget() -> str:
    return (resources.files("storage") / "lua" / "forget.lua").read_text()


async def _answered(pipeline: Any, *, some_will_do: bool = False) -> list[Any]:
    try:
        answers: list[Any] = await pipeline.execute(raise_on_error=not some_will_do)
        if answers and all(isinstance(each, BaseException) for each in answers):
            raise answers[0]
    except (RedisError, OSError) as error:
        raise LedgerUnavailable(
            f"Redis did not answer about the outbox ({type(error).__name__})", reason="unreachable"
        ) from error
    # redis-py sends inside asyncio.wait_for, which in Python 3.11 loses a cancellation that
    # comes when the sending is just done. A loop that never ends could then not be ended.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return answers


def entry_of(partition: int, entry_id: str | bytes, fields: Mapping[Any, Any] | None) -> Entry:
    """What a stream entry says; one that cannot be understood is marked, not refused."""
    name = _text(entry_id)
    said = _texts(fields or {})
    try:
        return _entry(partition, name, said)
    except (KeyError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        return Entry(partition, name, "unreadable", fields=said, why=why)


def _entry(partition: int, entry_id: str, said: dict[str, str]) -> Entry:
    kind = said["kind"]
    if said["v"] != VERSION or kind not in KINDS:
        raise ValueError(f"version {said['v'][:20]!r} and kind {kind[:40]!r} are not known")
    # Both are keys of SQL; what is no UUID would spoil the whole batch there.
    UUID(said["id"])
    UUID(said["business"])
    return Entry(
        partition=partition,
        entry_id=entry_id,
        kind=kind,
        epoch=_whole(said["epoch"]),
        counter=_whole(said["counter"]),
        business=said["business"],
        seq=_whole(said["seq"]),
        credit_seq=_whole(said["credit_seq"]),
        at_ms=_whole(said["at_ms"], LATEST_MS),
        balance=_whole(said["balance"]),
        fields=said,
    )


def _whole(text: str, most: int = 10**15 - 1) -> int:
    number = int(text)
    if not 0 <= number <= most:
        raise ValueError(f"{text[:40]} is out of range")
    return number


def _texts(fields: Mapping[Any, Any]) -> dict[str, str]:
    if isinstance(next(iter(fields), b""), str):
        return dict(fields)  # The client decodes: nothing is left to do.
    return {_text(name): _text(value) for name, value in fields.items()}


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="backslashreplace")


class Waiting(NamedTuple):
    """How many entries wait, and since when the oldest does (None when there are none)."""

    entries: int
    oldest_ms: int | None


async def waiting(redis: Any) -> Waiting:
    """
    What waits in all partitions; times are those of Redis.

    Raises:
        LedgerUnavailable: Redis does not answer.
    """
    pipeline = redis.pipeline(transaction=False)
    for partition in range(redis_keys.PARTITIONS):
        pipeline.xlen(redis_keys.outbox(partition))
        pipeline.xrange(redis_keys.outbox(partition), count=1)
    answers = await _answered(pipeline)
    first = [int(_text(stream[0][0]).partition("-")[0]) for stream in answers[1::2] if stream]
    return Waiting(sum(answers[::2]), min(first, default=None))
