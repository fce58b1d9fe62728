"""The laws run on a house of their own: on each pair of engines, or on one where one will do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis import Redis as BlockingRedis

from tests.engine import Engine
from tests.house import House, open_house
from tests.laws.scripted import Ledger

pytest.register_assert_rewrite(
    "tests.laws.ledger_calls",
    "tests.laws.ledger_limits",
    "tests.laws.ledger_expiry",
    "tests.laws.ledger_machine",
    "tests.laws.ledger_money_in",
)

SETTINGS = {
    "features__idea__credits": "2.50",
    "features__idea__models": '["gpt-5.4-mini"]',
    "features__idea__max_input_tokens": "4000",
    "features__idea__max_output_tokens": "4000",
    "features__idea__max_n": "1",
    "credits__default_max_output_tokens": "4000",
}
"""An idea costs 2.50 credits, whatever OpenAI used for it."""


@pytest.fixture
async def house(redis_url: str, records_url: str) -> AsyncIterator[House]:
    """A house on each pair of engines: the test runs four times."""
    async with open_house(redis_url=redis_url, records_url=records_url, **SETTINGS) as opened:
        yield opened


@pytest.fixture
def valkey_url(valkey_engine: Engine) -> str:
    """The URL of an empty Valkey."""
    with BlockingRedis.from_url(valkey_engine.url) as client:
        client.flushall()
    return valkey_engine.url


@pytest.fixture
async def one_house(valkey_url: str, sqlite_records_url: str) -> AsyncIterator[House]:
    """A house on Valkey and SQLite, for what does not depend on the engines."""
    async with open_house(
        redis_url=valkey_url, records_url=sqlite_records_url, **SETTINGS
    ) as opened:
        yield opened


@pytest.fixture
async def ledger(redis_url: str) -> AsyncIterator[Ledger]:
    """The scripts of one business, on a partition that has begun; on each engine."""
    made = Ledger(redis_url)
    await made.begin()
    yield made
    await made.close()
