"""What a key had spent before it was counted is asked of SQL, once SQL has all of it."""

from __future__ import annotations

from typing import Any

import pytest

from storage import transactions
from storage.database import Database
from storage.ids import new_id
from tests.storage.outbox_entries import Redis, add_business, credits, record

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
