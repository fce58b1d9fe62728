"""Whether Redis and SQL fit together: their clocks, and the epochs of the partitions."""

from __future__ import annotations

from collections.abc import Sequence
from time import time
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import text

from gateway.doctor.finding import Finding, ok, unsure, wrong
from storage import partition_rows, redis_keys
from storage.database import Database
from storage.partition_rows import PartitionRow

APART_MOST_S = 2.0  # Leases and expiry follow Redis, rows follow us; a second does no harm.

Meta = tuple[str | None, str | None, str | None]
"""Epoch, counter and frozen of a partition, as Redis has them."""


async def check_clocks(redis: Any, database: Database) -> Finding:
    """The clocks of Redis, SQL and this machine."""
    clocks: dict[str, float] = {}
    try:
        asked = time()
        seconds, micros = await redis.time()
        # The answer is of some moment between the question and now.
        clocks["Redis"] = seconds + micros / 1e6 - (asked + time()) / 2
    except (RedisError, OSError):
        return unsure("clocks", "cannot tell the clock of Redis", "allow TIME; scripts need it too")
    if database.dialect == "postgresql":
        async with database.read() as connection:
            asked = time()
            now = text("SELECT extract(epoch FROM clock_timestamp())")
            answer = float((await connection.execute(now)).scalar_one())
            clocks["SQL"] = answer - (asked + time()) / 2
    return clocks_judged(clocks)


def clocks_judged(ahead_s: dict[str, float]) -> Finding:
    """How far each clock is ahead of this machine's, in seconds."""
    said = ", ".join(f"{name} {ahead:+.3f} s" for name, ahead in ahead_s.items())
    apart = max(0.0, *ahead_s.values()) - min(0.0, *ahead_s.values())
    if apart > APART_MOST_S:
        return wrong(
            "clocks",
            f"the clocks are {apart:.1f} s apart: {said} from here",
            "let every machine keep its time by NTP (chrony, systemd-timesyncd)",
        )
    return ok("clocks", f"the clocks agree: {said} from here")


async def check_partitions(redis: Any, database: Database) -> list[Finding]:
    """Epoch, counter and freeze of each partition, in SQL and in Redis."""
    async with database.read() as connection:
        rows = await partition_rows.read(connection)
    pipeline = redis.pipeline(transaction=False)
    for row in rows:
        pipeline.hmget(redis_keys.meta(row.partition), "epoch", "counter", "frozen")
    try:
        metas = await pipeline.execute() if rows else []
    except (RedisError, OSError) as error:
        return [unsure("partitions", f"cannot tell: {type(error).__name__}",
                       "allow HMGET; the gateway needs it too")]  # fmt: skip
    return partitions_judged(rows, [tuple(meta) for meta in metas])


def partitions_judged(rows: Sequence[PartitionRow], metas: Sequence[Meta]) -> list[Finding]:
    """What does not fit together; one line where all of it does."""
    if not rows:
        return [ok("partitions", "no gateway has started on these stores yet")]
    found = [
        wrong("partitions", f"partition {row.partition}: {reason}", _FIX)
        for row, meta in zip(rows, metas, strict=True)
        if (reason := _what_is_wrong(row, meta))
    ]
    epochs = sorted({row.epoch for row in rows})
    said = f"{len(rows)} partitions, none frozen; epoch {', '.join(map(str, epochs))}"
    return found or [ok("partitions", said)]


_FIX = 'see "A frozen ledger" in docs/operating.md'


def _what_is_wrong(row: PartitionRow, meta: Meta) -> str | None:
    epoch, counter, frozen = meta
    if row.frozen_reason or frozen:
        return f"frozen: {row.frozen_reason or frozen}"
    if epoch is None:
        return "Redis has lost it" if row.highest_counter else None
    if epoch != str(row.epoch):
        return f"Redis has epoch {epoch}, SQL {row.epoch}"
    if int(counter or 0) < row.highest_counter:
        return f"Redis has counter {counter}, SQL has recorded {row.highest_counter}"
    return None
