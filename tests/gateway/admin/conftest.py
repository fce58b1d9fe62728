"""Fixtures of the admin API's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from storage.database import Database
from tests.gateway.admin.an_admin import Admin, Ledger, app_on


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Admin]:
    """An admin; the records are real, Redis is not."""
    ledger = Ledger()
    transport = httpx2.ASGITransport(app_on(database, ledger), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield Admin(client, ledger, database)


@pytest.fixture
async def sqlite_database(sqlite_records_url: str) -> AsyncIterator[Database]:
    """For what does not depend on the engine."""
    opened = Database.open(sqlite_records_url)
    yield opened
    await opened.close()
