"""The audit log."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from storage import audit_log
from storage.database import Database
from storage.ids import new_id
from tests.storage.outbox_entries import NOW

pytestmark = pytest.mark.anyio


async def test_changes_are_read_back_newest_first(database: Database) -> None:
    """With before and after, of one object or of all."""
    first, second = new_id(), new_id()
    async with database.write() as connection:
        made = await audit_log.write(
            connection,
            who="ama",
            what="business.add",
            object_id=first,
            after={"status": "active"},
            at=NOW,
        )
        changed = await audit_log.write(
            connection,
            who="kofi",
            what="business.suspend",
            object_id=second,
            before={"status": "active"},
            after={"status": "suspended"},
            at=NOW,
        )

        assert await audit_log.page(connection, limit=5) == [changed, made]
        assert await audit_log.page(connection, limit=5, after=changed.id) == [made]
        assert await audit_log.page(connection, limit=5, object_id=first) == [made]


async def test_what_was_not_there_before_is_null_for_an_analyst(database: Database) -> None:
    """And not the JSON value null, which IS NULL does not find."""
    async with database.write() as connection:
        await audit_log.write(connection, who="ama", what="x.y", object_id=new_id(), at=NOW)
        found = await connection.execute(
            text("SELECT count(*) FROM audit_log WHERE before IS NULL AND after IS NULL")
        )

        assert found.scalar_one() == 1
