"""Snapshots: what an account opens with, and which accounts were opened."""

from __future__ import annotations

import pytest

from metering.money import Credits
from storage import movements, snapshots
from storage.database import Database
from storage.errors import LedgerUnavailable, NotFound
from storage.ids import new_id
from tests.storage.outbox_entries import (
    AFTER,
    LATER,
    Redis,
    add_business,
    credits,
    expiring,
    ledger_row,
    record,
    top_up,
    write_event,
)

pytestmark = pytest.mark.anyio


async def test_a_snapshot_says_what_an_account_opens_with(database: Database) -> None:
    """Every addition is in it, and the counters to go on from."""
    acme = await add_business(database, topped_up="30")
    await write_event(database, acme, "add", "20")
    await record(database, Redis(acme.id).charges("2.5"))

    async with database.read() as connection:
        snapshot = await snapshots.snapshot(connection, acme.id)

    assert (snapshot.total, snapshot.owed) == (credits("47.5"), Credits(0))
    assert (snapshot.credit_seq, snapshot.seq, snapshot.epoch) == (2, 1, 1)
    assert (snapshot.status, snapshot.low_at) == ("active", credits("10"))
    row = await ledger_row(database, acme)
    assert row.expires_at is not None
    assert snapshot.expires_at_ms == movements.as_ms(row.expires_at)


async def test_a_snapshot_leaves_a_take_back_to_redis(database: Database) -> None:
    """Opened as if it were applied, the account would keep what was to be taken."""
    acme = await add_business(database, topped_up="30")
    take = await write_event(database, acme, "take", "10")
    await write_event(database, acme, "add", "20")

    async with database.read() as connection:
        before = await snapshots.snapshot(connection, acme.id)
    taken = Redis(acme.id, credit_seq=2).takes_back("10", reference=take.id)
    await record(database, taken)
    async with database.read() as connection:
        after = await snapshots.snapshot(connection, acme.id)

    assert (before.credit_seq, before.total) == (1, credits("30"))
    assert (after.credit_seq, after.total) == (3, credits("40"))


async def test_a_snapshot_that_would_be_below_zero_is_refused(database: Database) -> None:
    """Redis answered the take-back and the answer was lost: that takes a recovery."""
    acme = await add_business(database, topped_up="10")
    await write_event(database, acme, "take", "10")
    await write_event(database, acme, "add", "50")
    await record(database, Redis(acme.id).charges("50"))

    async with database.read() as connection:
        with pytest.raises(LedgerUnavailable) as refused:
            await snapshots.snapshot(connection, acme.id)

    assert refused.value.reason == "loss"


async def test_an_opened_account_is_noted_and_its_epoch_never_falls(database: Database) -> None:
    """Its absence from Redis is a loss from then on."""
    acme = await add_business(database)
    await add_business(database)

    async with database.write() as connection:
        await snapshots.mark_opened(connection, acme.id, 2)
        await snapshots.mark_opened(connection, acme.id, 1)
        opened = await snapshots.opened_businesses(connection, epoch=2)

    assert opened == [acme.id]


async def test_an_unknown_business_has_no_events(database: Database) -> None:
    """Neither one that could exist, nor what is no id at all."""
    for id in (new_id(), "x' OR 1=1"):
        async with database.read() as connection:
            with pytest.raises(NotFound):
                await snapshots.snapshot(connection, id)


async def test_an_expired_account_opens_as_expired(database: Database) -> None:
    """With what its calls held, and nobody is told again."""
    acme, redis = await expiring(database)
    await record(database, redis.expires("3"))

    async with database.read() as connection:
        snapshot = await snapshots.snapshot(connection, acme.id)

    assert (snapshot.total, snapshot.alerted) == (credits("2"), 4)
    assert snapshot.expires_at_ms == movements.as_ms(LATER)


async def test_an_account_opens_before_a_purchase_that_is_to_book_an_expiry(
    database: Database,
) -> None:
    """Opened as if it were applied, what had expired would be good for six months more."""
    acme, redis = await expiring(database)
    await top_up(database, acme, "30")
    async with database.read() as connection:
        before = await snapshots.snapshot(connection, acme.id)
        [event] = await movements.pending(connection, acme.id, before.credit_seq)
    await record(database, redis.expires("5", reference=event.id))
    async with database.read() as connection:
        after = await snapshots.snapshot(connection, acme.id)

    assert (before.credit_seq, before.total) == (1, credits("5"))
    assert before.expires_at_ms == movements.as_ms(LATER)
    assert (after.credit_seq, after.total) == (2, credits("30"))
    assert after.expires_at_ms > movements.as_ms(AFTER)


async def test_opened_accounts_come_in_pages_whether_active_or_not(database: Database) -> None:
    """Each business once, with its latest epoch; one that was never opened is not there."""
    acme, redis = await expiring(database)
    bold = await add_business(database, topped_up="1")
    await add_business(database)
    async with database.write() as connection:
        for business in (acme, bold):
            await snapshots.mark_opened(connection, business.id, 1)
    await record(database, redis.expires("5"))
    await top_up(database, acme, "30")
    async with database.write() as connection:
        await snapshots.mark_opened(connection, acme.id, 2)

    async with database.read() as connection:
        [first] = await snapshots.opened_page(connection, after=None, limit=1)
        [second] = await snapshots.opened_page(connection, after=first.business, limit=5)
        opened = await snapshots.opened_businesses(connection, epoch=2)

    assert {(each.business, each.epoch) for each in (first, second)} == {(acme.id, 2), (bold.id, 1)}
    assert opened == [acme.id]
