"""What is decided about a batch: what it changes, what it reports, what must wait."""

from __future__ import annotations

import pytest

from metering.money import Credits
from storage import (
    alerts,
    partition_rows,
    transactions,
)
from storage.database import Database
from storage.ids import new_id
from storage.redis_keys import partition_of
from tests.storage.outbox_entries import (
    Redis,
    add_business,
    credits,
    ledger_row,
    movements_minus_charged,
    record,
)

pytestmark = pytest.mark.anyio


async def test_an_entry_of_another_epoch_is_left_alone(database: Database) -> None:
    """Fencing: a stream of before the recovery is never recorded into after it."""
    acme = await add_business(database, topped_up="50")
    redis = Redis(acme.id, epoch=2)

    recorded = await record(database, redis.charges("2.5"))

    assert (recorded.new, recorded.done, len(recorded.stale)) == (0, [], 1)
    assert (await ledger_row(database, acme)).balance == credits("50")


@pytest.mark.parametrize("back_to", [0, 1])
async def test_a_seq_that_was_recorded_before_is_a_rolled_back_redis(
    database: Database, back_to: int
) -> None:
    """The call was made and is stored, without its seq; the partition is frozen, not stuck."""
    acme = await add_business(database, topped_up="50")
    redis = Redis(acme.id)
    await record(database, redis.charges("2.5"), redis.charges("2.5"))
    redis.seq = back_to

    late = redis.charges("1")
    recorded = await record(database, late)

    assert recorded.done == [late]
    async with database.read() as connection:
        stored = await transactions.get(connection, late.id)
        partition = (await partition_rows.read(connection))[partition_of(acme.id)]
    assert stored.seq is None
    assert partition.frozen_reason == recorded.lost[partition_of(acme.id)]
    row = await ledger_row(database, acme)
    assert (row.balance, row.seq) == (credits("44"), 2)
    assert (await record(database, late)).new == 0


async def test_a_forgetful_redis_takes_no_balance_below_zero(database: Database) -> None:
    """It spends credits a second time; SQL charges what is there and calls the rest shortfall."""
    acme = await add_business(database, topped_up="5")
    redis = Redis(acme.id)
    await record(database, redis.charges("4"))

    late = redis.charges("3")
    recorded = await record(database, late)

    assert "takes 3000000 micro-credits of 1000000" in recorded.lost[partition_of(acme.id)]
    async with database.read() as connection:
        stored = await transactions.get(connection, late.id)
    assert (stored.credits_used, stored.shortfall) == (credits("1"), credits("2"))
    assert (await ledger_row(database, acme)).balance == Credits(0)
    assert await movements_minus_charged(database, acme) == Credits(0)


async def test_what_is_owed_follows_the_entries(database: Database) -> None:
    """A take-back adds what was not there to what is owed; a payment takes it off again."""
    acme = await add_business(database, topped_up="50")
    redis = Redis(acme.id)

    await record(database, redis.takes_back("50", owed="20"))
    owing = await ledger_row(database, acme)
    await record(database, redis.takes_back("0", owed="-20"))

    assert (owing.balance, owing.owed) == (Credits(0), credits("20"))
    assert (await ledger_row(database, acme)).owed == Credits(0)


async def test_a_crossing_becomes_one_alert_and_stays_noted(database: Database) -> None:
    """One alert for each crossing since the last arming, however often the entry comes."""
    acme = await add_business(database, topped_up="12")
    redis = Redis(acme.id, balance=0)
    entry = redis.charges("12", alerts="low_balance,depleted")

    await record(database, entry)
    await record(database, entry)

    async with database.read() as connection:
        raised = await alerts.page(connection, acme.id, limit=10)
    thresholds = {alert.alert_type: alert.threshold for alert in raised}
    assert thresholds == {"low_balance": credits("10"), "depleted": Credits(0)}
    assert all(alert.credit_seq == 1 for alert in raised)
    assert (await ledger_row(database, acme)).alerted == 3


async def test_an_alert_from_before_an_addition_leaves_the_new_arming(database: Database) -> None:
    """The top-up has armed the alerts again before the old crossing reached SQL."""
    acme = await add_business(database, topped_up="50")

    await record(database, Redis(acme.id, credit_seq=0).charges("45", alerts="low_balance"))

    assert (await ledger_row(database, acme)).alerted == 0


async def test_a_bad_entry_keeps_only_its_own_business_waiting(database: Database) -> None:
    """Recorded first, what follows it would make it look like a change that came twice."""
    acme, bold = [await add_business(database, topped_up="50") for _ in range(2)]
    redis = Redis(acme.id)
    bad, next_of_acme = redis.charges("1", charged="1e3"), redis.charges("2")
    of_bold = Redis(bold.id).charges("3")

    recorded = await record(database, bad, next_of_acme, of_bold)

    assert recorded.failed == [(bad, "charged is not a whole number")]
    assert recorded.done == [of_bold]
    assert (await ledger_row(database, acme)).balance == credits("50")


async def test_an_entry_of_an_unknown_business_is_named(database: Database) -> None:
    """Another database's Redis, perhaps: nothing can be stored for it."""
    await add_business(database)

    recorded = await record(database, Redis(new_id()).charges("1"))

    assert [why for _, why in recorded.failed] == ["SQL knows no such business"]
