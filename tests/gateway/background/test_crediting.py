"""Crediting: every credit event reaches Redis once and in order, whoever wrote it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import pytest

from gateway.background.crediting import Crediting
from gateway.background.recorder import Recorder
from metering.money import Credits
from storage import movements, purchases
from storage.accounts import Accounts
from storage.balances import Balance, Balances
from storage.businesses import Business, set_status
from storage.database import Database
from storage.errors import LedgerUnavailable, RecordsUnavailable
from storage.movements import CreditEvent
from storage.partitions import Partitions
from storage.scripts import Scripts, connect
from storage.tables import credit_movements
from tests.storage.outbox_entries import (
    NOW,
    add_business,
    credits,
    ledger_row,
    movements_minus_charged,
)

pytestmark = pytest.mark.anyio

T = TypeVar("T")


@dataclass
class Ledger:
    """The real thing: SQL, Redis and what connects them."""

    database: Database
    balances: Balances
    crediting: Crediting
    recorder: Recorder

    async def top_up(self, business: Business, text: str) -> None:
        async with self.database.write() as connection:
            await purchases.top_up(connection, business=business.id, credits=credits(text), at=NOW)

    async def adjust(self, business: Business, text: str) -> None:
        async with self.database.write() as connection:
            await purchases.adjust(
                connection,
                business=business.id,
                credits=credits(text),
                reason="a test",
                user="ama",
                at=NOW,
            )

    async def total(self, business: Business) -> str:
        return str((await self.balances.read(business.id)).total)


@pytest.fixture
async def ledger(database: Database, redis_url: str) -> AsyncIterator[Ledger]:
    redis = connect(redis_url, answer_within_s=30)
    scripts = Scripts(redis)
    partitions = Partitions(redis, scripts, database)
    await partitions.begin()
    balances = Balances(redis, scripts, partitions)
    accounts = Accounts(database, balances, partitions)
    crediting = Crediting(database, balances, accounts, every_s=0.001)
    yield Ledger(database, balances, crediting, Recorder(database, redis))
    await scripts.close()
    await redis.aclose()


async def test_a_top_up_opens_the_account_and_is_noted(ledger: Ledger) -> None:
    """The first event finds no account: it is opened from what SQL has, the event included."""
    acme = await add_business(ledger.database, topped_up="30")

    await ledger.crediting.apply(acme.id)

    assert await ledger.total(acme) == "30.00"
    async with ledger.database.read() as connection:
        assert await movements.unapplied_businesses(connection, 10) == []
        [receipt] = await purchases.page(connection, acme.id, limit=5)
    assert receipt.applied_at is not None


async def test_applying_again_changes_nothing(ledger: Ledger) -> None:
    """Two processes may apply at once; credit_seq says what was applied."""
    acme = await add_business(ledger.database, topped_up="30")
    await ledger.crediting.apply(acme.id)
    await ledger.top_up(acme, "20")
    await ledger.top_up(acme, "5")

    await asyncio.gather(*(ledger.crediting.apply(acme.id) for _ in range(5)))

    assert await ledger.total(acme) == "55.00"


async def test_events_of_several_kinds_keep_their_order(ledger: Ledger) -> None:
    """Take, add, suspend: SQL and Redis agree once the outbox is empty."""
    acme = await add_business(ledger.database, topped_up="30")
    await ledger.crediting.apply(acme.id)
    await ledger.adjust(acme, "-40")
    await ledger.top_up(acme, "50")
    async with ledger.database.write() as connection:
        await set_status(connection, acme.id, status="suspended", at=NOW)

    await ledger.crediting.apply(acme.id)
    await ledger.recorder.record_once()

    there = await ledger.balances.read(acme.id)
    assert (there.total, there.owed, there.status) == (credits("40"), Credits(0), "suspended")
    row = await ledger_row(ledger.database, acme)
    assert (row.balance, row.owed) == (credits("40"), Credits(0))
    assert row.expires_at is not None
    assert there.expires_at_ms == movements.as_ms(row.expires_at)
    assert await movements_minus_charged(ledger.database, acme) == credits("40")


async def test_a_take_back_from_an_account_that_is_not_open_is_not_forgotten(
    ledger: Ledger,
) -> None:
    """The account opens as it was before, and then loses what is to be taken."""
    acme = await add_business(ledger.database, topped_up="30")
    await ledger.adjust(acme, "-10")
    await ledger.top_up(acme, "1")

    await ledger.crediting.apply(acme.id)
    await ledger.recorder.record_once()

    assert await ledger.total(acme) == "21.00"
    assert (await ledger_row(ledger.database, acme)).balance == credits("21")


async def test_the_loop_finds_what_another_process_wrote(ledger: Ledger) -> None:
    """A top-up on the command line, with no gateway to tell."""
    shops = [await add_business(ledger.database, topped_up="30") for _ in range(3)]

    running = asyncio.create_task(ledger.crediting.run())
    unapplied = [shop.id for shop in shops]
    while unapplied:
        await asyncio.sleep(0.005)
        async with ledger.database.read() as connection:
            unapplied = await movements.unapplied_businesses(connection, 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert [await ledger.total(shop) for shop in shops] == ["30.00"] * 3


async def test_a_long_history_is_applied_piece_by_piece(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many events were written while Redis was away."""
    monkeypatch.setattr("gateway.background.crediting.AT_ONCE", 3)
    acme = await add_business(ledger.database, topped_up="1")
    await ledger.crediting.apply(acme.id)
    for _ in range(9):
        await ledger.top_up(acme, "1")

    await ledger.crediting.apply(acme.id)

    assert await ledger.total(acme) == "10.00"
    async with ledger.database.read() as connection:
        assert await movements.unapplied_businesses(connection, 10) == []


@dataclass
class OneAccount:
    """A Redis with one open account; applies events as credit.lua does and remembers them."""

    credit_seq: int = 0
    applied: list[int] = field(default_factory=list)
    away: set[str] = field(default_factory=set)

    async def credit(self, event: CreditEvent) -> str:
        if event.business in self.away:
            raise LedgerUnavailable("Redis does not answer", reason="in_doubt")
        if event.credit_seq <= self.credit_seq:
            return "APPLIED"
        if event.credit_seq > self.credit_seq + 1:
            return "GAP"
        self.credit_seq = event.credit_seq
        self.applied.append(event.credit_seq)
        return "OK"

    async def read(self, business: str) -> Balance:
        nothing = Credits(0)
        return Balance(nothing, nothing, nothing, self.credit_seq, 0, "active")

    async def opened(self, business: str, ask: Callable[[], Awaitable[T]]) -> T:
        return await ask()


async def three_events(database: Database) -> Business:
    acme = await add_business(database, topped_up="1")
    for days in (1, 2):
        async with database.write() as connection:
            await purchases.top_up(
                connection, business=acme.id, credits=credits("1"), at=NOW + timedelta(days=days)
            )
    return acme


async def test_a_gap_is_closed_from_where_redis_is(database: Database) -> None:
    """What is noted as applied is for display; Redis's own counter is what counts."""
    acme = await three_events(database)
    async with database.write() as connection:
        await movements.mark_applied(connection, acme.id, 2, NOW)
    redis = OneAccount()

    await Crediting(database, redis, redis).apply(acme.id)

    assert redis.applied == [1, 2, 3]


async def test_a_gap_that_sql_cannot_close_is_said(database: Database) -> None:
    """An event that is gone from SQL is a loss; nothing is applied past it."""
    acme = await three_events(database)
    redis = OneAccount()
    async with database.write() as connection:
        first = credit_movements.c.credit_seq == 1
        await connection.execute(credit_movements.delete().where(first))

    with pytest.raises(LedgerUnavailable) as refused:
        await Crediting(database, redis, redis).apply(acme.id)

    assert (refused.value.reason, redis.applied) == ("gap", [])


async def test_one_business_in_trouble_keeps_no_other_waiting(database: Database) -> None:
    """A frozen partition is one of sixteen."""
    acme = await three_events(database)
    stuck = await add_business(database, topped_up="1")
    redis = OneAccount(away={stuck.id})
    crediting = Crediting(database, redis, redis)

    await crediting.apply_all()
    redis.away.clear()
    redis.credit_seq = 0
    await crediting.apply_all()

    assert redis.applied == [1, 2, 3, 1]
    async with database.read() as connection:
        assert await movements.unapplied_businesses(connection, 10) == []
        assert await movements.pending(connection, acme.id) == []


async def test_a_page_full_of_trouble_keeps_no_page_after_it_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen partition may have more businesses than one look asks for."""
    monkeypatch.setattr("gateway.background.crediting.AT_ONCE", 2)
    shops = [await add_business(database, topped_up="1") for _ in range(5)]
    stuck = sorted(shop.id for shop in shops)[:4]
    redis = OneAccount(away=set(stuck))

    await Crediting(database, redis, redis).apply_all()

    assert redis.applied == [1]
    async with database.read() as connection:
        assert await movements.unapplied_businesses(connection, 10) == stuck


async def test_the_loop_outlives_an_absence_of_sql_and_a_mistake(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing ends the only way of a purchase into Redis."""
    acme = await three_events(database)
    redis = OneAccount()
    crediting = Crediting(database, redis, redis, every_s=0.001)
    failures = iter([RecordsUnavailable("SQL does not answer"), ZeroDivisionError("a mistake")])
    done = asyncio.Event()
    apply_all = crediting.apply_all

    async def fail_first() -> None:
        if failure := next(failures, None):
            raise failure
        await apply_all()
        done.set()

    monkeypatch.setattr(crediting, "apply_all", fail_first)
    running = asyncio.create_task(crediting.run())
    await done.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert redis.applied == [1, 2, 3]
    assert (await ledger_row(database, acme)).credit_seq == 3
