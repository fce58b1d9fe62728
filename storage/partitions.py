"""
Partition, epoch, counter: notices a Redis that lost something.

Every change of a partition raises its counter, and every answer carries it. An answer
that is lower than what was known when the question was asked, or a partition that is
gone, means that Redis forgot changes it had acknowledged. Nothing may be served from
such a partition: it is frozen, in Redis and in SQL, and calls get 503.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage import partition_rows, redis_keys, snapshots
from storage.database import Database
from storage.errors import LedgerUnavailable, RecordsUnavailable
from storage.scripts import Scripts

log = logging.getLogger(__name__)

T = TypeVar("T")


class Partitions:
    """What this process knows of the 16 partitions."""

    def __init__(
        self,
        redis: Redis,
        scripts: Scripts,
        database: Database,
        on_frozen: Callable[[], None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._database = database
        self._on_frozen = on_frozen
        self._epochs = [0] * redis_keys.PARTITIONS
        self._counters = [0] * redis_keys.PARTITIONS
        self._frozen: dict[int, str] = {}

    def epoch(self, partition: int) -> int:
        """
        The epoch to ask under.

        Raises:
            LedgerUnavailable: The partition is frozen.
        """
        if partition in self._frozen:
            raise _frozen(self._frozen[partition])
        return self._epochs[partition]

    def counter(self, partition: int) -> int:
        """The highest counter seen in an answer."""
        return self._counters[partition]

    @property
    def frozen(self) -> dict[int, str]:
        """Partitions that are not served, with the reason."""
        return dict(self._frozen)

    async def begin(self) -> None:
        """
        Compare SQL and Redis, begin partitions that are new, freeze those that lost something.

        Raises:
            LedgerUnavailable: Redis does not answer.
            RecordsUnavailable: SQL does not answer.
        """
        async with self._database.write() as connection:
            rows = await partition_rows.ensure(connection)
        for row in rows:
            self._epochs[row.partition] = row.epoch
            if row.frozen_reason:
                self._frozen[row.partition] = row.frozen_reason
        await self._compare(rows)

    async def check(self) -> frozenset[int]:
        """
        Compare again, as after a reconnect; freezes what lost something meanwhile.

        Returns:
            The partitions that were compared; not those of a Cluster's server that is away.

        Raises:
            LedgerUnavailable: No server answers.
            RecordsUnavailable: SQL does not answer.
        """
        async with self._database.read() as connection:
            rows = await partition_rows.read(connection)
        return await self._compare(rows, some_will_do=True)

    async def note(self, partition: int, *, seen_when_asked: int, counter: int) -> None:
        """
        Look at the counter of an answer.

        The question left after `seen_when_asked` had been seen, so Redis may not answer
        less; answers of questions that overtook each other say nothing.
        """
        if counter < seen_when_asked:
            reason = (
                f"the counter of partition {partition} fell from {seen_when_asked} to {counter}"
            )
            await self.freeze(partition, reason)
            raise _frozen(reason)
        if counter > self._counters[partition]:
            self._counters[partition] = counter

    async def refused(self, partition: int, word: str, detail: str) -> LedgerUnavailable:
        """What to raise after a script answered STALE_EPOCH or FROZEN."""
        if word == "FROZEN":
            self._frozen[partition] = detail
            return _frozen(detail)
        found = f"epoch {detail}" if detail else "nothing"
        reason = (
            f"Redis has {found} of partition {partition}; SQL has epoch {self._epochs[partition]}"
        )
        await self.freeze(partition, reason)
        return _frozen(reason)

    async def freeze(self, partition: int, reason: str) -> None:
        """Stop serving a partition, here, in Redis and in SQL, and say so loudly."""
        if partition in self._frozen:
            return
        self._frozen[partition] = reason
        self._on_frozen()
        log.critical("partition_frozen", extra={"partition": partition, "reason": reason})
        try:
            await self._scripts.call("freeze", [redis_keys.meta(partition)], [reason])
        except LedgerUnavailable:
            log.error("freeze_not_in_redis", extra={"partition": partition})
        try:
            async with self._database.write() as connection:
                await partition_rows.freeze(connection, partition, reason)
        except RecordsUnavailable:
            log.error("freeze_not_in_sql", extra={"partition": partition})

    async def ping(self) -> None:
        """
        Ask Redis whether it is there, each server of a Cluster.

        Raises:
            LedgerUnavailable: It does not answer.
        """
        await self._metas()

    async def asking(self, answer: Awaitable[T]) -> T:
        """
        Await a plain Redis command, with its failures in our words.

        Raises:
            LedgerUnavailable: Redis does not answer.
        """
        try:
            return await answer
        except (RedisError, OSError, TimeoutError) as error:
            raise LedgerUnavailable(
                f"Redis did not answer ({type(error).__name__})", reason="unreachable"
            ) from error

    async def _compare(
        self, rows: list[partition_rows.PartitionRow], *, some_will_do: bool = False
    ) -> frozenset[int]:
        # Answers that come while we ask raise the counters past what we are about to read.
        seen = list(self._counters)
        metas = await self._metas(some_will_do=some_will_do)
        answered = set()
        for row, meta in zip(rows, metas, strict=True):
            if isinstance(meta, BaseException):
                continue
            answered.add(row.partition)
            if row.partition in self._frozen:
                continue
            reason = await self._what_is_wrong(row, meta, seen=seen[row.partition])
            if reason:
                await self.freeze(row.partition, reason)
        return frozenset(answered)

    async def _what_is_wrong(
        self, row: partition_rows.PartitionRow, meta: list[str | None], *, seen: int
    ) -> str | None:
        epoch, counter, frozen = meta
        p = row.partition
        if epoch is None:
            return await self._begin_or_say_why_not(row)
        if frozen:
            return frozen
        if int(epoch) != row.epoch:
            return f"Redis has epoch {epoch} of partition {p}; SQL has {row.epoch}"
        highest = max(row.highest_counter, seen)
        if int(counter or 0) < highest:
            return f"Redis has counter {counter} of partition {p}; {highest} was seen before"
        self._counters[p] = max(self._counters[p], int(counter or 0))
        return None

    async def _begin_or_say_why_not(self, row: partition_rows.PartitionRow) -> str | None:
        p = row.partition
        if row.highest_counter > 0:
            return f"Redis has lost partition {p}; SQL has recorded {row.highest_counter} changes"
        async with self._database.read() as connection:
            opened = await snapshots.opened_businesses(connection, epoch=row.epoch)
        if any(redis_keys.partition_of(business) == p for business in opened):
            return f"Redis has lost partition {p}; accounts of it were open"
        await self._scripts.call("begin", [redis_keys.meta(p)], [str(row.epoch), "0"])
        return None

    async def _metas(self, *, some_will_do: bool = False) -> list[Any]:
        """Epoch, counter and reason of each partition; what failed where some will do."""
        pipeline: Any = self._redis.pipeline(transaction=False)
        for partition in range(redis_keys.PARTITIONS):
            pipeline.hmget(redis_keys.meta(partition), "epoch", "counter", "frozen")
        return await self.asking(_answers(pipeline, some_will_do=some_will_do))


async def _answers(pipeline: Any, *, some_will_do: bool) -> list[Any]:
    answers: list[Any] = await pipeline.execute(raise_on_error=not some_will_do)
    if all(isinstance(each, BaseException) for each in answers):
        raise answers[0]
    return answers


def _frozen(reason: str) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"the ledger is frozen: {reason}; nothing is served until it has been recovered",
        reason="frozen",
    )
