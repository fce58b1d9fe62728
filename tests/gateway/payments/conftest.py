"""Fixtures of the payments' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.shop import Shop, open_shop


@pytest.fixture
async def shop(valkey_url: str, records_url: str) -> AsyncIterator[Shop]:
    """A shop on Valkey, on SQLite and on PostgreSQL."""
    async with open_shop(redis_url=valkey_url, records_url=records_url) as opened:
        yield opened


@pytest.fixture
async def one_shop(valkey_url: str, sqlite_records_url: str) -> AsyncIterator[Shop]:
    """A shop, for what does not depend on the engines."""
    async with open_shop(redis_url=valkey_url, records_url=sqlite_records_url) as opened:
        yield opened
