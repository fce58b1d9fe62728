"""What is planted in Redis or SQL is found, and told as the law that it breaks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from storage import dead_letters, outbox, redis_keys
from storage.ids import new_id
from storage.proving import Prover
from tests.storage.proved_books import account_of, outbox_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("micro", [1, -1])
async def test_one_micro_credit_in_redis_is_found(books, acme, micro):
    """Too much or too little, in total as in held."""
    await books.redis.hincrby(account_of(acme), "total", micro)
    assert await books.broken() == [("L2", "total", micro)]

    await books.redis.hincrby(account_of(acme), "total", -micro)
    await books.redis.hincrby(account_of(acme), "held", micro)
    assert await books.broken() == [("L1", "held", micro)]


async def test_a_hold_without_a_deadline_is_found(books, acme):
    """Nobody would ever sweep it; its id is told."""
    id = await books.hold(acme, "1.00")
    p = redis_keys.partition_of(acme)
    await books.redis.zrem(redis_keys.deadlines(p), f"{acme}:{id}")

    [violation] = await books.proved()

    assert (violation.law, violation.rows) == ("L1", (id,))


async def test_an_account_that_cannot_be_read_is_found(books, acme):
    """Its fields are told."""
    await books.redis.hset(account_of(acme), "total", "1e6")
    await books.redis.hset(redis_keys.holds(redis_keys.partition_of(acme), acme), "odd", "x")

    [violation] = await books.proved()

    assert (violation.law, violation.what) == ("L1", "unreadable")
    assert violation.rows == ("total", "odd")


async def test_a_transaction_row_that_is_gone_is_found(books, acme):
    """The sum of SQL does not fit, and its number is missing; both name where to look."""
    await books.sql("DELETE FROM ai_transactions WHERE seq = 1")

    sums, numbers = await books.proved()

    assert (sums.law, sums.what, sums.difference) == ("L2", "records", -2_500_000)
    assert (numbers.law, numbers.what, numbers.difference) == ("L3", "gap", -1)
    assert numbers.rows[0] == "no row has seq 1"


async def test_a_seq_that_two_rows_share_is_found(books, acme):
    """SQL permits it between a call and a movement."""
    await books.take(acme, "1.00")
    await books.crediting.apply(acme)
    await books.record()
    await books.sql("UPDATE credit_movements SET seq = 2 WHERE seq = 4")

    [violation] = await books.proved()

    assert (violation.law, violation.what, len(violation.rows)) == ("L3", "doubled", 2)


async def test_a_gap_is_found(books, acme):
    """An entry that was deleted before SQL had it is missing in the sum and in the numbers."""
    await books.redis.delete(outbox_of(acme))

    assert await books.broken() == [("L2", "total", -1_000_000), ("L3", "gap", -1)]


@pytest.mark.parametrize("field", ["seq", "credit_seq"])
async def test_a_redis_that_is_behind_is_found(books, acme, field):
    """It was rolled back, or written to by hand."""
    await books.record()
    await books.redis.hincrby(account_of(acme), field, -1)

    laws = {law for law, _, _ in await books.broken()}

    assert laws == {"seq": {"L2", "L3"}, "credit_seq": {"L2"}}[field]


async def test_a_credit_event_applied_twice_or_not_at_all_is_found(books, acme):
    """The difference is that of the event, which is named."""
    await books.redis.hincrby(account_of(acme), "total", 50_000_000)
    [twice] = await books.proved()
    await books.redis.hincrby(account_of(acme), "total", -50_000_000)
    await books.top_up(acme, "10.00")
    await books.redis.hincrby(account_of(acme), "credit_seq", 1)
    [never] = await books.proved()

    assert (twice.law, twice.difference) == ("L2", 50_000_000)
    assert (never.law, never.difference) == ("L2", -10_000_000)
    assert [each.rows[0].partition(" ")[0] for each in (twice, never)] == ["purchase", "purchase"]
    assert "is of that amount" in twice.rows[0]


async def test_a_payment_that_was_credited_twice_is_found(books, acme):
    """Its receipt is named."""
    await books.sql("UPDATE ai_credit_purchases SET credits_purchased_microcredits = 25000000")

    [violation] = await books.proved()

    assert (violation.law, violation.what, violation.difference) == ("L6", "receipt", 25_000_000)
    assert len(violation.rows) == 1


async def test_a_receipt_that_is_gone_is_found(books, acme):
    """What was credited for it names it still."""
    await books.sql("DELETE FROM ai_credit_purchases")

    assert await books.broken() == [("L6", "stray", 0)]


async def test_purchases_that_share_a_reference_are_found(books, acme):
    """Where SQL has lost the constraint that keeps them apart."""
    if books.database.dialect == "sqlite":
        async with books.database.read() as connection:
            views = text("SELECT name FROM sqlite_master WHERE type = 'view'")
            names = list((await connection.execute(views)).scalars())
        for statement in (
            *(f"DROP VIEW {name}" for name in names),
            "CREATE TABLE copied AS SELECT * FROM ai_credit_purchases",
            "DROP TABLE ai_credit_purchases",
            "ALTER TABLE copied RENAME TO ai_credit_purchases",
        ):
            await books.sql(statement)
    else:
        await books.sql(
            "ALTER TABLE ai_credit_purchases "
            "DROP CONSTRAINT uq_ai_credit_purchases_provider_payment_reference"
        )
    await books.top_up(acme, "1.00")
    await books.crediting.apply(acme)
    await books.sql("UPDATE ai_credit_purchases SET payment_reference = 'MM-1'")

    [violation] = await books.proved()

    assert (violation.law, violation.what, len(violation.rows)) == ("L6", "reference", 2)


async def test_a_balance_row_off_by_one_is_found(books, acme):
    """In SQL against its own movements, and in Redis against SQL."""
    await books.sql(
        "UPDATE business_ai_credits SET balance_microcredits = balance_microcredits + 1"
    )

    assert await books.broken() == [("L2", "records", 1), ("L2", "total", -1)]


async def test_an_entry_that_sql_has_already_counts_once(books, acme):
    """A recorder that died between its commit and its deletion left it."""
    entries = await books.redis.xrange(outbox_of(acme))
    await books.record()
    for id, fields in entries:
        await books.redis.xadd(outbox_of(acme), fields, id=f"{id.partition('-')[0]}-99")

    assert await books.broken() == []


async def test_an_entry_whose_id_sql_has_elsewhere_is_found(books, acme):
    """Only a Redis that was rolled back gives an id another number."""
    [(_, fields)] = await books.redis.xrange(outbox_of(acme))
    await books.record()
    await books.redis.xadd(outbox_of(acme), {**fields, "seq": "9"})

    [violation] = await books.proved()

    assert (violation.law, violation.what) == ("L3", "moved")
    assert violation.rows[0].startswith(f"{fields['id']} (outbox ")


async def test_a_dead_letter_counts_in_the_proof(books, acme):
    """In place of its entry, and beside it; without both, the credits are missing."""
    [entry] = await outbox.read(books.redis, [redis_keys.partition_of(acme)], 10)
    async with books.database.write() as connection:
        await dead_letters.bury(connection, entry, why="a test", at=datetime.now(UTC))

    assert await books.broken() == []

    await outbox.forget(books.redis, [entry])

    assert await books.broken() == []
    assert await Prover(books.database, books.redis).buried() == 1

    await books.sql("DELETE FROM dead_letters")

    assert await books.broken() == [("L2", "total", -1_000_000), ("L3", "gap", -1)]


async def test_an_account_that_is_lost_is_found(books, acme):
    """SQL knows that it was open."""
    await books.record()
    await books.redis.delete(account_of(acme))

    assert await books.broken() == [("L2", "lost", 0)]


async def test_a_business_without_a_balance_row_is_found(books, acme):
    """It can never have been added by us."""
    id = new_id()
    await books.record()
    await books.sql(
        "INSERT INTO businesses SELECT :id, name, owner_email, owner_phone, status, currency, "
        "time_zone, low_balance_threshold_microcredits, expires_after_months, settings, "
        "created_at, updated_at FROM businesses",
        id=books.sql_id(id),
    )

    assert [(each.business, each.what) for each in await books.proved()] == [(id, "no_balance")]
