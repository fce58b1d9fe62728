"""Expiry: what is left of an ended balance is booked, once nothing can save it any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.background import expiry as module
from gateway.background.crediting import Crediting
from gateway.background.expiry import Expiry
from gateway.background.recorder import Recorder
from metering.money import Credits
from storage import businesses, purchases, redis_keys
from storage.accounts import Accounts
from storage.answers import Expired, Unexpired
from storage.balances import Balances
from storage.businesses import Business
from storage.database import Database
from storage.errors import CreditsExpired, LedgerUnavailable
from storage.ids import new_id
from storage.partitions import Partitions
from storage.scripts import Scripts, connect
from tests.storage.outbox_entries import add_business, credits, ledger_row, movements_minus_charged

pytestmark = pytest.mark.anyio

LONG_AGO = datetime.now(UTC) - timedelta(days=300)
"""Bought then, credits of six months have ended by now."""


@dataclass
class Ledger:
    """The real thing: SQL, Redis and what connects them."""

    database: Database
    partitions: Partitions
    balances: Balances
    accounts: Accounts
    crediting: Crediting
    recorder: Recorder
    expiry: Expiry
    redis: Any

    async def hold(self, business: Business, text: str) -> str:
        id = new_id()

        async def ask() -> object:
            return await self.balances.hold(
                business=business.id,
                id=id,
                ceiling=credits(text),
                floor=credits(text),
                lease_s=60,
                note="{}",
            )

        await self.accounts.opened(business.id, ask)
        return id

    async def settle(self, business: Business, id: str, text: str) -> None:
        await self.balances.settle(
            business=business.id, id=id, amount=credits(text), outcome="settled", row="{}"
        )

    async def top_up(self, business: Business, text: str, at: datetime) -> None:
        async with self.database.write() as connection:
            await purchases.top_up(connection, business=business.id, credits=credits(text), at=at)

    async def expire(self, now: datetime | None = None) -> int:
        """One round, and what it booked in SQL."""
        booked = await self.expiry.expire_all(now or datetime.now(UTC))
        while await self.recorder.record_once():
            pass
        return booked

    async def agrees(self, business: Business, text: str) -> None:
        """Redis, SQL and the sum of the movements say the same."""
        assert (await self.balances.read(business.id)).total == credits(text)
        assert (await ledger_row(self.database, business)).balance == credits(text)
        assert await movements_minus_charged(self.database, business) == credits(text)


@pytest.fixture
async def ledger(database: Database, redis_url: str) -> AsyncIterator[Ledger]:
    redis = connect(redis_url, answer_within_s=30)
    scripts = Scripts(redis)
    partitions = Partitions(redis, scripts, database)
    await partitions.begin()
    balances = Balances(redis, scripts, partitions)
    accounts = Accounts(database, balances, partitions)
    crediting = Crediting(database, balances, accounts)
    expiry = Expiry(database, balances, accounts, crediting, every_s=0.001)
    recorder = Recorder(database, redis)
    yield Ledger(database, partitions, balances, accounts, crediting, recorder, expiry, redis)
    await scripts.close()
    await redis.aclose()


async def test_what_is_left_is_booked_once(ledger: Ledger) -> None:
    """An account that was not even open is opened for it."""
    acme = await add_business(ledger.database, topped_up="30", at=LONG_AGO)
    good = await add_business(ledger.database, topped_up="20", at=datetime.now(UTC))

    assert [await ledger.expire(), await ledger.expire()] == [1, 0]

    await ledger.agrees(acme, "0")
    assert (await ledger_row(ledger.database, acme)).is_active is False
    assert (await ledger_row(ledger.database, good)).balance == credits("20")
    with pytest.raises(CreditsExpired):
        await ledger.hold(acme, "1")


async def test_it_comes_back_until_nothing_is_left(ledger: Ledger) -> None:
    """A call that ran at the expiry is settled normally, and the rest of its hold expires."""
    now = datetime.now(UTC)
    acme = await add_business(ledger.database, topped_up="30", at=now)
    running = await ledger.hold(acme, "20")
    p = redis_keys.partition_of(acme.id)
    await ledger.redis.hset(redis_keys.account(p, acme.id), "expires_at_ms", "1")
    later = now + timedelta(days=300)

    booked = [await ledger.expire(later), await ledger.expire(later)]
    await ledger.agrees(acme, "20")
    await ledger.settle(acme, running, "12")
    booked.append(await ledger.expire(later))

    assert booked == [1, 0, 1]
    await ledger.agrees(acme, "0")
    assert await ledger.expire(later) == 0


async def test_a_balance_is_booked_only_after_the_grace(ledger: Ledger) -> None:
    """A purchase of the last moment may still be on its way into SQL."""
    acme = await add_business(ledger.database, topped_up="30", at=LONG_AGO)
    expires_at = (await ledger_row(ledger.database, acme)).expires_at
    assert expires_at is not None
    grace = timedelta(seconds=module.GRACE_S)

    assert await ledger.expire(expires_at + grace - timedelta(milliseconds=1)) == 0
    assert await ledger.expire(expires_at + grace) == 1


async def test_a_top_up_that_was_found_too_late_wins(ledger: Ledger) -> None:
    """It was made in time, and Redis had not heard of it: BEHIND, then nothing has expired."""
    acme = await add_business(ledger.database, topped_up="30", at=LONG_AGO)
    await ledger.crediting.apply(acme.id)
    await ledger.top_up(acme, "20", LONG_AGO + timedelta(days=150))
    answer = await ledger.balances.expire(acme.id, credit_seq=2)

    booked = await ledger.expiry.expire(acme.id, credit_seq=2)

    assert (answer, booked) == (Unexpired.BEHIND, None)
    await ledger.agrees(acme, "50")


async def test_a_top_up_after_the_expiry_ends_at_the_same_figures_either_way(
    ledger: Ledger,
) -> None:
    """Whether Redis hears of the purchase or of the expiry first."""
    shops = [await add_business(ledger.database, topped_up="30", at=LONG_AGO) for _ in range(2)]
    first, second = shops
    for shop in shops:
        await ledger.crediting.apply(shop.id)
        await ledger.top_up(shop, "20", datetime.now(UTC))

    expired = await ledger.balances.expire(first.id, credit_seq=1)
    for shop in shops:
        await ledger.crediting.apply(shop.id)
    await ledger.expire()

    assert expired == Expired(credits("30"))
    for shop in shops:
        await ledger.agrees(shop, "20")
        assert (await ledger_row(ledger.database, shop)).is_active is True
        await ledger.hold(shop, "20")


async def test_an_account_opened_after_such_a_top_up_ends_there_too(ledger: Ledger) -> None:
    """The gateway was stopped all the while; the command line wrote both purchases."""
    acme = await add_business(ledger.database, topped_up="30", at=LONG_AGO)
    await ledger.top_up(acme, "20", datetime.now(UTC))

    await ledger.crediting.apply(acme.id)
    await ledger.expire()

    await ledger.agrees(acme, "20")


async def test_one_account_in_trouble_keeps_no_other_waiting(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Frozen or corrupt: it is logged, and found again in the next round."""
    monkeypatch.setattr(module, "AT_ONCE", 1)
    shops = [await add_business(ledger.database, topped_up="30", at=LONG_AGO) for _ in range(3)]
    for shop in shops:
        await ledger.accounts.open(shop.id)
    frozen, corrupt, acme = shops
    for shop, field in ((frozen, {"frozen": "a test"}), (corrupt, {"total": "12.5"})):
        key = redis_keys.account(redis_keys.partition_of(shop.id), shop.id)
        await ledger.redis.hset(key, mapping=field)

    assert await ledger.expire() == 1

    assert (await ledger.balances.read(acme.id)).total == Credits(0)
    warned = [record for record in caplog.records if record.message == "credits_not_expired"]
    assert len(warned) == 2


async def test_a_partition_that_is_away_is_asked_once_a_round(ledger: Ledger) -> None:
    """Every other balance of it would only wait, too; those of others may be served."""
    asked = []

    class Away:
        async def expire(self, business: str, *, credit_seq: int) -> Expired:
            asked.append(business)
            raise LedgerUnavailable("Redis does not answer", reason="in_doubt")

    shops = [
        await add_business(ledger.database, topped_up="30", at=LONG_AGO)
        for _ in range(redis_keys.PARTITIONS + 4)
    ]
    expiry = Expiry(ledger.database, Away(), ledger.accounts, ledger.crediting)

    with pytest.raises(LedgerUnavailable):
        await expiry.expire_all(datetime.now(UTC))
    partitions = [redis_keys.partition_of(business) for business in asked]
    assert len(set(partitions)) == len(partitions)
    assert set(partitions) == {redis_keys.partition_of(shop.id) for shop in shops}


async def test_the_loop_outlives_an_absence_and_a_mistake(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing ends it but its end."""
    caplog.set_level(logging.INFO)
    acme = await add_business(ledger.database, topped_up="30", at=LONG_AGO)
    failures = iter([LedgerUnavailable("Redis is away"), ZeroDivisionError("a mistake")])
    done = asyncio.Event()
    expire_all = ledger.expiry.expire_all

    async def fail_first(now: datetime) -> int:
        if failure := next(failures, None):
            raise failure
        booked = await expire_all(now)
        done.set()
        return booked

    monkeypatch.setattr(ledger.expiry, "expire_all", fail_first)
    running = asyncio.create_task(ledger.expiry.run())
    await done.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    events = [record.message for record in caplog.records]
    assert [event for event in events if event.startswith(("expiry", "credits"))][:3] == [
        "expiry_waits", "expiry_failed", "credits_expired",
    ]  # fmt: skip
    assert (await ledger.balances.read(acme.id)).total == Credits(0)


async def test_settings_of_an_expired_business_reach_redis(ledger: Ledger) -> None:
    """Suspended after its end, with the event still on its way: BEHIND, then booked."""
    acme = await add_business(ledger.database, topped_up="30", at=LONG_AGO)
    await ledger.crediting.apply(acme.id)
    async with ledger.database.write() as connection:
        await businesses.set_status(connection, acme.id, status="suspended", at=datetime.now(UTC))

    assert await ledger.expire() == 1

    assert (await ledger.balances.read(acme.id)).status == "suspended"
    await ledger.agrees(acme, "0")
