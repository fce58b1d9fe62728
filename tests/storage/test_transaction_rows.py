"""An entry as columns: what fits, and what is found out before SQL sees it."""

from __future__ import annotations

import pytest

from storage import (
    transactions,
)
from storage.database import Database
from tests.storage.outbox_entries import (
    Redis,
    add_business,
    record,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "row",
    [
        {"cost_pico": "1e30"},
        {"usage": {"input": -1}},
        {"usage": ["input"]},
        {"key_id": "not-a-uuid"},
        {"processing_ms": 2**31},
        {"started_at_ms": 2**60},
    ],
)
async def test_a_row_that_no_column_could_hold_is_named(database: Database, row: object) -> None:
    """It is found out before SQL sees it, so the rest of the batch does not suffer."""
    acme = await add_business(database, topped_up="50")
    entry = Redis(acme.id).charges("1", row=row)

    recorded = await record(database, entry)

    assert recorded.failed[0][0] is entry
    assert "its row is not understood" in recorded.failed[0][1]


async def test_texts_of_a_caller_fit_their_columns(database: Database) -> None:
    """An app may name its user as it likes; no name keeps a finished call out of SQL."""
    acme = await add_business(database, topped_up="50")
    entry = Redis(acme.id).charges("1", row={"user": "a\0b" + "ü" * 500, "feature": "f" * 200})

    await record(database, entry)

    async with database.read() as connection:
        row = await transactions.get(connection, entry.id)
    assert row.user is not None
    assert (row.user[:3], len(row.user), row.feature) == ("abü", 199, "f" * 100)
