"""The recorder: everything Redis decided reaches SQL once, whatever is away meanwhile."""

from __future__ import annotations

import asyncio
import logging

import pytest
from redis.asyncio import Redis as Client

from gateway.background.recorder import TRIES, Recorder
from storage import (
    dead_letters,
    partition_rows,
    redis_keys,
    transactions,
)
from storage.businesses import Business
from storage.database import Database
from storage.redis_keys import partition_of
from tests.storage.outbox_entries import (
    Redis,
    add_business,
    credits,
    left,
    movements_minus_charged,
    put,
    recorded_balance,
)
from tests.storage.rolled_up import grouped, rollup
from tests.storage.test_usage_daily import insert_calls

pytestmark = pytest.mark.anyio


async def test_the_outbox_becomes_rows_and_is_emptied(
    database: Database, redis_client: Client
) -> None:
    """Of every partition, in batches, with an end for each answer."""
    shops = [await add_business(database, topped_up="100") for _ in range(5)]
    streams = [Redis(shop.id) for shop in shops]
    entries = [stream.charges("1") for stream in streams for _ in range(7)]
    await put(redis_client, *entries)
    await redis_client.set(redis_keys.answer(entries[0].partition, entries[0].id), "answer")

    recorded = await Recorder(database, redis_client, batch=10).record_once()

    # A look takes at most a batch of each partition; several of these share some.
    while len(await left(redis_client)):
        recorded += await Recorder(database, redis_client, batch=10).record_once()
    assert recorded == 35
    assert [await recorded_balance(database, shop) for shop in shops] == ["93.00"] * 5
    assert await redis_client.pttl(redis_keys.answer(entries[0].partition, entries[0].id)) > 0


async def test_two_recorders_at_once_record_each_entry_once(
    database: Database, redis_client: Client
) -> None:
    """There are no consumer groups; SQL knows each entry by its id."""
    shops = [await add_business(database, topped_up="100") for _ in range(8)]
    for stream in (Redis(shop.id) for shop in shops):
        await put(redis_client, *(stream.charges("1") for _ in range(10)))

    recorders = [Recorder(database, redis_client, batch=each) for each in (12, 20, 500)]
    while await left(redis_client):
        await asyncio.gather(*(recorder.record_once() for recorder in recorders))

    for shop in shops:
        assert await recorded_balance(database, shop) == "90.00"
        assert await movements_minus_charged(database, shop) == credits("90")


async def test_calls_without_a_day_are_counted_beside_the_outbox(
    database: Database, redis_client: Client
) -> None:
    """A gateway of before may still record; the loop counts what it wrote."""
    acme = await add_business(database, topped_up="100")
    await insert_calls(database, acme, 5)
    await put(redis_client, Redis(acme.id, seq=5).charges("1"))
    running = asyncio.create_task(Recorder(database, redis_client, every_s=0.001).run())

    async def is_counted() -> bool:
        async with database.read() as connection:
            found = await rollup(connection)
            return sum(group[6] for group in found) == 6 and found == await grouped(connection)

    async with asyncio.timeout(10):
        while not await is_counted():
            await asyncio.sleep(0.001)
    running.cancel()


async def test_an_unreadable_entry_is_buried_after_five_tries(
    database: Database, redis_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Loudly, as it was read, and the others do not wait for it."""
    acme = await add_business(database, topped_up="10")
    p = partition_of(acme.id)
    await redis_client.xadd(redis_keys.outbox(p), {"v": "9", "kind": "transaction"})
    await put(redis_client, Redis(acme.id).charges("1"))
    recorder = Recorder(database, redis_client)

    with caplog.at_level(logging.ERROR):
        for _ in range(TRIES - 1):
            await recorder.record_once()
        before = await left(redis_client)
        await recorder.record_once()

    assert len(before) == 1
    assert await left(redis_client) == []
    assert await recorded_balance(database, acme) == "9.00"
    async with database.read() as connection:
        [letter] = await dead_letters.all(connection)
    assert letter.fields == {"v": "9", "kind": "transaction"}
    assert [record.message for record in caplog.records][-1] == "entry_buried"


async def test_what_follows_a_bad_entry_waits_for_its_burial(
    database: Database, redis_client: Client
) -> None:
    """Recorded first it would make a rolled-back Redis of a mere mistake."""
    acme, bold = [await add_business(database, topped_up="10") for _ in range(2)]
    stream = Redis(acme.id)
    bad, good = stream.charges("1", charged="?"), stream.charges("2")
    await put(redis_client, bad, good, Redis(bold.id).charges("3"))
    lost: list[str] = []

    async def on_loss(_: int, reason: str) -> None:
        lost.append(reason)

    recorder = Recorder(database, redis_client, batch=1, on_loss=on_loss)

    for _ in range(TRIES - 1):
        await recorder.record_once()
        assert await recorded_balance(database, acme) == "10.00"
    while await left(redis_client):
        await recorder.record_once()

    assert await recorded_balance(database, acme) == "8.00"
    assert await recorded_balance(database, bold) == "7.00"
    assert lost == []


async def test_it_waits_in_the_next_batch_of_the_same_look_too(
    database: Database, redis_client: Client
) -> None:
    """A look reads more than one batch, and a business may be in several of them."""
    by_partition: dict[int, Business] = {}
    while len(by_partition) < 5:
        shop = await add_business(database, topped_up="10")
        by_partition[partition_of(shop.id)] = shop
    first, *others, acme = (by_partition[p] for p in sorted(by_partition))
    streams = {shop.id: Redis(shop.id) for shop in by_partition.values()}
    recorder = Recorder(database, redis_client, batch=8)
    for shop in (first, *others):
        await put(redis_client, streams[shop.id].charges("1"))
    # Four partitions had work, so two entries of each are a batch of 8 from now on.
    assert await recorder.record_once() == 4
    # acme's are the last of one batch and the first of the next.
    await put(redis_client, streams[first.id].charges("3"))
    for shop in others:
        await put(redis_client, streams[shop.id].charges("3"), streams[shop.id].charges("3"))
    bad, good = streams[acme.id].charges("1", charged="?"), streams[acme.id].charges("2")
    await put(redis_client, bad, good)

    recorded = await recorder.record_once()

    assert recorded == 7
    assert await recorded_balance(database, acme) == "10.00"


async def test_an_entry_that_sql_refuses_harms_no_other(
    database: Database, redis_client: Client
) -> None:
    """The batch is stored one by one, and only the one is buried."""
    acme, bold = [await add_business(database, topped_up="10") for _ in range(2)]
    bad = Redis(acme.id).charges("1", outcome="forgotten")
    await put(redis_client, bad, Redis(bold.id).charges("3"))
    recorder = Recorder(database, redis_client)

    for _ in range(TRIES):
        await recorder.record_once()

    assert await left(redis_client) == []
    assert await recorded_balance(database, acme) == "10.00"
    assert await recorded_balance(database, bold) == "7.00"
    async with database.read() as connection:
        [letter] = await dead_letters.all(connection)
    assert letter.why.startswith("SQL refuses it")


async def test_a_rolled_back_redis_is_stored_frozen_and_reported_once(
    database: Database, redis_client: Client
) -> None:
    """It is an alarm, and never an entry that cannot be got rid of."""
    acme = await add_business(database, topped_up="10")
    stream = Redis(acme.id)
    await put(redis_client, stream.charges("1"))
    reported: list[tuple[int, str]] = []

    async def on_loss(partition: int, reason: str) -> None:
        reported.append((partition, reason))

    recorder = Recorder(database, redis_client, on_loss=on_loss)
    await recorder.record_once()
    stream.seq = 0
    late = stream.charges("2")
    await put(redis_client, late)

    await recorder.record_once()
    await recorder.record_once()

    p = partition_of(acme.id)
    assert [partition for partition, _ in reported] == [p]
    assert "Redis was rolled back" in reported[0][1]
    assert await left(redis_client) == []
    async with database.read() as connection:
        assert (await transactions.get(connection, late.id)).seq is None
        assert (await partition_rows.read(connection))[p].frozen_reason == reported[0][1]


async def test_entries_of_another_epoch_stay_and_are_reported_once(
    database: Database, redis_client: Client
) -> None:
    """Recovery decides about them, not the recorder; other partitions go on."""
    acme = await add_business(database, topped_up="10")
    await put(redis_client, Redis(acme.id, epoch=2).charges("1"))
    reported: list[str] = []

    async def on_loss(_: int, reason: str) -> None:
        reported.append(reason)

    recorder = Recorder(database, redis_client, on_loss=on_loss)
    for _ in range(3):
        assert await recorder.record_once() == 0

    assert len(await left(redis_client)) == 1
    assert reported == ["its outbox has entries of epoch 2, which is not SQL's"]
