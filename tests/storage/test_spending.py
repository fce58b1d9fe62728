"""What a key had spent before it was counted is asked of SQL, once SQL has all of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from storage import dead_letters, transactions
from storage.database import Database
from storage.ids import new_id
from storage.outbox import Entry
from tests.storage.outbox_entries import NOW, Redis, add_business, credits, record

pytestmark = pytest.mark.anyio


async def test_a_key_has_spent_what_its_rows_say_up_to_a_change(database: Database) -> None:
    """Corrections are signed; other keys and later rows are not its own."""
    acme = await add_business(database, topped_up="50")
    key, other = new_id(), new_id()
    redis = Redis(acme.id)
    mine: dict[str, Any] = {"row": {"key_id": key}}
    theirs: dict[str, Any] = {"row": {"key_id": other}}
    await record(
        database,
        redis.charges("2.5", **mine),
        redis.charges("2", **theirs),
        redis.charges("0.5", **mine),
        redis.charges("-1", outcome="adjusted", **mine),
        redis.charges("4"),
    )

    async with database.read() as connection:

        async def spent(whose: str, up_to_seq: int) -> object:
            return await transactions.spent_by(connection, acme.id, whose, up_to_seq=up_to_seq)

        assert [await spent(key, seq) for seq in (0, 1, 3, 4, 5)] == [
            credits(each) for each in ("0", "2.5", "3", "2", "2")
        ]
        assert await spent(other, 5) == credits("2")
        assert await spent(new_id(), 5) == credits("0")
        assert await spent(key, 6) is None


async def buried(database: Database, *entries: Entry) -> None:
    """What SQL could not store, as the recorder buries it."""
    async with database.write() as connection:
        for entry in entries:
            await dead_letters.bury(connection, entry, why="a test", at=NOW)


@pytest.mark.parametrize("row", ["as it was", "garbled"])
async def test_a_dead_letter_was_spent_as_well(database: Database, row: str) -> None:
    """The last of them keeps nobody waiting; its key is found though its row is not understood."""
    acme = await add_business(database, topped_up="50")
    key, other = new_id(), new_id()
    redis = Redis(acme.id)
    bad = [redis.charges("2", row={"key_id": key}), redis.charges("3", row={"key_id": other})]
    if row == "garbled":
        garbled = f'{{"key_id":"{key}","user":'
        bad[0] = replace(bad[0], fields={**bad[0].fields, "row": garbled})
    good = redis.charges("1", row={"key_id": key})
    bad += [redis.takes_back("5"), redis.charges("0.5", row={"key_id": key})]
    await buried(database, *bad)
    await record(database, good)

    async with database.read() as connection:
        spent = partial(transactions.spent_by, connection, acme.id)
        assert [await spent(key, up_to_seq=seq) for seq in (0, 1, 3, 4, 5)] == [
            credits(each) for each in ("0", "2", "3", "3", "3.5")
        ]
        assert await spent(other, up_to_seq=5) == credits("3")
        assert await spent(key, up_to_seq=6) is None


async def test_what_is_on_its_way_behind_a_dead_letter_is_waited_for(database: Database) -> None:
    """The letter explains its own change and no other one; nor one of another epoch."""
    acme = await add_business(database, topped_up="50")
    key = new_id()
    redis, older = Redis(acme.id, epoch=1), Redis(acme.id, seq=1, epoch=0)
    first = redis.charges("1", row={"key_id": key})
    await buried(database, redis.charges("2", row={"key_id": key}))
    await buried(database, *(older.charges(each, row={"key_id": key}) for each in ("4", "8")))

    async with database.read() as connection:
        assert await transactions.spent_by(connection, acme.id, key, up_to_seq=2) is None
    await record(database, first)
    async with database.read() as connection:
        spent = partial(transactions.spent_by, connection, acme.id, key)
        assert await spent(up_to_seq=2) == credits("15")
        assert await spent(up_to_seq=3) is None


async def test_a_letter_that_was_recorded_after_all_counts_once(database: Database) -> None:
    """Somebody has mended it; the letter is still there."""
    acme = await add_business(database, topped_up="50")
    key = new_id()
    entry = Redis(acme.id).charges("2", row={"key_id": key})
    await buried(database, entry)
    await record(database, entry)

    async with database.read() as connection:
        spent = await transactions.spent_by(connection, acme.id, key, up_to_seq=1)
    assert spent == credits("2")


@pytest.mark.parametrize("charged", ["", "1e6", "-", "9" * 19])
async def test_a_letter_whose_charge_nobody_can_read_is_not_nothing(
    database: Database, charged: str
) -> None:
    """What is unknown is never free: the key is refused, and only that one."""
    acme = await add_business(database, topped_up="50")
    key, other = new_id(), new_id()
    redis = Redis(acme.id)
    unreadable = redis.charges("2", row={"key_id": key}, charged=charged)
    await buried(database, unreadable)
    await record(database, redis.charges("1", row={"key_id": other}))

    async with database.read() as connection:
        spent = partial(transactions.spent_by, connection, acme.id, up_to_seq=2)
        assert await spent(key) is None
        assert await spent(other) == credits("1")
