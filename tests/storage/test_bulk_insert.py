"""Many rows in one go: what is read back is what a plain INSERT would have written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.bulk_insert import COPIED_FROM, insert_rows
from storage.database import Database
from storage.errors import RecordsUnavailable
from storage.ids import new_id
from storage.tables import audit_log, dead_letters

pytestmark = pytest.mark.anyio

MANY = 5 * COPIED_FROM


def _row(number: int) -> dict[str, Any]:
    return {
        "id": new_id(),
        "at": datetime(2026, 11, 22, 12, 0, 0, number, UTC),
        "who": f"Ama \\N \t {number} é",
        "what": "business.suspend",
        "object_id": new_id(),
        "before": {"status": "active", "number": number},
        "after": None,
    }


def _letter(number: int) -> dict[str, Any]:
    return {
        "id": new_id(),
        "partition": 1,
        "entry_id": f"{number}-0",
        "fields": {},
        "why": "a test says so",
        "at": datetime(2026, 11, 22, tzinfo=UTC),
    }


async def _stored(connection: AsyncConnection) -> list[dict[str, Any]]:
    found = await connection.execute(select(audit_log).order_by(audit_log.c.at))
    return [dict(row._mapping) for row in found]


@pytest.mark.parametrize("count", [0, 1, COPIED_FROM - 1, COPIED_FROM, MANY])
async def test_what_was_inserted_is_read_back(database: Database, count: int) -> None:
    """Times, JSON, ids, nothing at all, and text that a copy would have to escape."""
    rows = [_row(number) for number in range(count)]
    async with database.write() as connection:
        await insert_rows(connection, audit_log, rows)

    async with database.read() as connection:
        assert await _stored(connection) == rows
        missing = select(func.count()).where(audit_log.c.after.is_(None))
        assert (await connection.execute(missing)).scalar_one() == count


async def test_a_row_that_is_there_already_keeps_all_of_them_out(database: Database) -> None:
    """The error is that of an INSERT, so that who called finds the row at fault."""
    rows = [_row(number) for number in range(MANY)]
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await insert_rows(connection, audit_log, [*rows, rows[0]])

    async with database.read() as connection:
        assert await _stored(connection) == []


WRONG = [{"partition": 10**6}, {"partition": "one"}, {"entry_id": "x" * 100}, {"why": None}]


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_value_that_cannot_be_written_is_about_a_value(
    postgres_database: Database, wrong: dict[str, Any]
) -> None:
    """The driver refuses some before PostgreSQL sees them; the recorder then tries each row."""
    rows = [_letter(number) for number in range(MANY)]
    with pytest.raises((DataError, IntegrityError)):
        async with postgres_database.write() as connection:
            await insert_rows(connection, dead_letters, [*rows, _letter(MANY) | wrong])


async def test_a_database_that_goes_away_is_away(postgres_database: Database) -> None:
    """As with any statement: the caller tries again later."""

    async def lose_the_connection_then_insert() -> None:
        async with postgres_database.write() as connection:
            ours = (await connection.execute(text("select pg_backend_pid()"))).scalar_one()
            async with postgres_database.write() as other:
                await other.execute(text(f"select pg_terminate_backend({ours})"))
            await insert_rows(connection, audit_log, [_row(number) for number in range(MANY)])

    with pytest.raises(RecordsUnavailable):
        await lose_the_connection_then_insert()


@pytest.fixture
async def postgres_database(postgres_records_url: str) -> Any:
    opened = Database.open(postgres_records_url)
    yield opened
    await opened.close()
