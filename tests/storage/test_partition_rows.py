"""The rows that fence and count."""

from __future__ import annotations

import asyncio

import pytest

from storage import partition_rows
from storage.database import Database
from storage.redis_keys import PARTITIONS

pytestmark = pytest.mark.anyio


async def test_all_partitions_are_made_once(database: Database) -> None:
    """Two gateways that start at once make one set, in epoch 1."""

    async def ensure() -> list[partition_rows.PartitionRow]:
        async with database.write() as connection:
            return await partition_rows.ensure(connection)

    first, second = await asyncio.gather(ensure(), ensure())

    assert first == second
    assert [row.partition for row in first] == list(range(PARTITIONS))
    assert {(row.epoch, row.highest_counter, row.frozen_reason) for row in first} == {(1, 0, None)}


async def test_counters_rise_and_never_fall(database: Database) -> None:
    """Redis is held against the highest that SQL has recorded."""
    async with database.write() as connection:
        await partition_rows.ensure(connection)
        await partition_rows.raise_counters(connection, {3: 10, 1: 5})
        await partition_rows.raise_counters(connection, {3: 9, 1: 6})
        rows = await partition_rows.read(connection)

    assert (rows[3].highest_counter, rows[1].highest_counter) == (10, 6)


async def test_the_first_reason_for_freezing_stays(database: Database) -> None:
    """What follows from a loss must not hide the loss."""
    async with database.write() as connection:
        await partition_rows.ensure(connection)
        await partition_rows.freeze(connection, 7, "the counter fell")
        await partition_rows.freeze(connection, 7, "an account is missing")
        rows = await partition_rows.read(connection)

    assert {row.partition: row.frozen_reason for row in rows if row.frozen_reason} == {
        7: "the counter fell"
    }
