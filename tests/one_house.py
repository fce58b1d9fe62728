"""One house on one pair of engines, for tests that do not depend on which."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from redis import Redis as BlockingRedis
from sqlalchemy import select

from metering.money import Credits
from metering.usage import Usage
from storage import keys
from storage.limits import Limits
from storage.tables import metadata
from storage.transactions import Transaction
from tests.engine import Engine
from tests.house import Acme, House, open_house


@pytest.fixture
def valkey_url(valkey_engine: Engine) -> str:
    """The URL of an empty Valkey."""
    with BlockingRedis.from_url(valkey_engine.url) as client:
        client.flushall()
    return valkey_engine.url


@pytest.fixture
async def house(
    request: pytest.FixtureRequest, valkey_url: str, sqlite_records_url: str
) -> AsyncIterator[House]:
    """A house on Valkey and SQLite; `set_up` changes its settings."""
    settings: dict[str, str] = getattr(request, "param", {})
    async with open_house(
        redis_url=valkey_url, records_url=sqlite_records_url, **settings
    ) as opened:
        yield opened


@pytest.fixture
def access_log(house: House) -> Callable[[], str]:
    """Gives what the house has written to its access log since this was asked for."""
    log = house.parts.doors._proxy._access_log
    log.flush()
    out = BytesIO()
    log._out = out

    def written() -> str:
        log.flush()
        return out.getvalue().decode()

    return written


def set_up(**settings: str) -> pytest.MarkDecorator:
    """The house of this test has these settings, as `open_house` takes them."""
    return pytest.mark.parametrize("house", [settings], indirect=True, ids=[""])


async def with_scopes(acme: Acme, **scopes: frozenset[str]) -> Acme:
    """The same business, calling with a key of these scopes."""
    async with acme.house.database.write() as connection:
        _, secret = await keys.issue(
            connection,
            business=acme.id,
            name="narrow",
            scopes=keys.Scopes(**scopes),
            at=datetime.now(UTC),
        )
    return Acme(acme.house, acme.id, secret, acme.topped_up)


async def with_limits(acme: Acme, *, credit_cap: str | None = None, **limits: int) -> Acme:
    """The same business, calling with a key of these limits."""
    async with acme.house.database.write() as connection:
        _, secret = await keys.issue(
            connection,
            business=acme.id,
            name="limited",
            credit_cap=None if credit_cap is None else Credits.parse(credit_cap),
            limits=Limits(**limits),
            at=datetime.now(UTC),
        )
    return Acme(acme.house, acme.id, secret, acme.topped_up)


async def charged_as_billed(acme: Acme) -> list[Transaction]:
    """
    The rows of a business, once it is sure that they charge what OpenAI billed.

    Every bill has its row and every charge its bill, the sums are exact, in Redis as in
    SQL, nothing is held any more, and each row rates again to what it cost.
    """
    house = acme.house
    rows = await acme.transactions()
    charged = {row.id: row.credits_used for row in rows if row.credits_used != Credits(0)}
    billed = {bill.transaction: house.price_of(bill).credits_used for bill in house.openai.billed}
    assert charged == billed
    card = house.parts.pricing.book.card()
    for row in rows:
        if row.outcome == "settled" and row.usage_source == "reported":
            again = card.rate_of(row.price_version).cost(Usage.from_names(row.usage))
            assert again == row.cost_to_us, "a stored row rates to what it cost"
    left = acme.topped_up - sum(charged.values(), Credits(0))
    balance = await acme.balance()
    assert (balance.total, balance.held) == (left, Credits(0))
    assert await acme.recorded() == left
    return rows


async def everything(house: House) -> dict[str, Any]:
    """Every key of Redis and every row of SQL, to be held against what is there later."""
    await house.quiet()
    seen: dict[str, Any] = {}
    redis: Any = house.parts.stores.redis
    reads = {
        "hash": redis.hgetall,
        "string": redis.get,
        "stream": redis.xrange,
        "zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
    }
    async for key in redis.scan_iter():
        seen[key] = await reads[await redis.type(key)](key)
    async with house.database.read() as connection:
        for table in metadata.sorted_tables:
            rows = (await connection.execute(select(table))).all()
            seen[table.name] = sorted(map(repr, rows))
    return seen
