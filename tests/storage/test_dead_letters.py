"""Dead letters: what could not be recorded is kept as it was read."""

from __future__ import annotations

import pytest

from storage import dead_letters
from storage.database import Database
from storage.outbox import entry_of
from tests.storage.outbox_entries import NOW

pytestmark = pytest.mark.anyio


async def test_an_entry_is_buried_once_and_as_it_was(database: Database) -> None:
    """Two recorders may bury it; a NUL, which no database takes, is shown as one."""
    entry = entry_of(3, "1-1", {"kind": "gift", "row": "a\0b"})

    for _ in range(2):
        async with database.write() as connection:
            await dead_letters.bury(connection, entry, why="kind\0", at=NOW)

    async with database.read() as connection:
        [letter] = await dead_letters.all(connection)
    assert (letter.partition, letter.entry_id, letter.at) == (3, "1-1", NOW)
    assert letter.fields == {"kind": "gift", "row": "a\\0b"}
    assert letter.why == "kind\\0"
