"""The rows of `ledger_partitions`: the epoch that is valid, and what was recorded last."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import insert_if_new
from storage.redis_keys import PARTITIONS
from storage.tables import ledger_partitions as table


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """
    What SQL knows of one partition.

    Attributes:
        highest_counter: Redis may never answer a lower one.
        frozen_reason: Why calls are refused; None when all is well.
    """

    partition: int
    epoch: int
    highest_counter: int
    frozen_reason: str | None


async def ensure(connection: AsyncConnection) -> list[PartitionRow]:
    """All partitions; the rows are made, with epoch 1, where there are none yet."""
    rows = await lock(connection, range(PARTITIONS))
    missing = sorted(set(range(PARTITIONS)) - set(rows))
    if missing:
        new = [{"partition": p, "epoch": 1, "highest_counter": 0} for p in missing]
        # Another process may be making them at this moment; then ours are not needed.
        await connection.execute(insert_if_new(connection, table), new)
    return await read(connection)


async def read(connection: AsyncConnection) -> list[PartitionRow]:
    """All partitions, in order."""
    found = await connection.execute(select(table).order_by(table.c.partition))
    return [PartitionRow(*row) for row in found]


async def lock(connection: AsyncConnection, partitions: Collection[int]) -> dict[int, PartitionRow]:
    """
    The rows of `partitions`, locked in their order until the transaction ends.

    Stronger than FOR SHARE: two recorders that both shared a row could never raise its
    counter, each waiting for the other.
    """
    found = await connection.execute(
        select(table)
        .where(table.c.partition.in_(sorted(partitions)))
        .order_by(table.c.partition)
        .with_for_update(key_share=True)
    )
    return {row.partition: PartitionRow(*row) for row in found}


async def raise_counters(connection: AsyncConnection, counters: dict[int, int]) -> None:
    """Note the highest counter recorded: partition → counter. It never falls."""
    raised = [{"p": p, "counter": counters[p]} for p in sorted(counters)]
    if raised:
        await connection.execute(
            update(table)
            .where(table.c.partition == bindparam("p"))
            .where(table.c.highest_counter < bindparam("counter"))
            .values(highest_counter=bindparam("counter")),
            raised,
        )


async def freeze(connection: AsyncConnection, partition: int, reason: str) -> None:
    """Store why a partition must not be served; the first reason stays."""
    await connection.execute(
        update(table)
        .where(table.c.partition == partition, table.c.frozen_reason.is_(None))
        .values(frozen_reason=reason)
    )
