"""What a gateway is doing at this moment, and what its background loops did."""

from __future__ import annotations

import asyncio
from time import time

import pytest

from metering.money import Credits
from storage import outbox, redis_keys, transactions
from storage.balances import Balances
from storage.errors import LedgerUnavailable, RecordsUnavailable
from storage.redis_lane import Lane
from storage.redis_wire import NotConnected
from tests.gateway.background.a_hold import a_hold, lease_ended, settlement_of
from tests.gateway.scraped import scraped, scraped_until
from tests.house import House
from tests.one_house import set_up

pytestmark = pytest.mark.anyio


async def test_a_call_under_way_is_open_holds_credits_and_has_a_connection(house: House):
    """And none of it when it is over."""
    acme = await house.business()
    gate = asyncio.Event()
    house.openai.holds_replies(gate)

    call = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)
    during, held = await scraped(house), await acme.held()
    gate.set()
    await call
    await house.quiet()
    after = await scraped(house)

    assert during.of("open_calls") == 1
    assert held > Credits(0)
    assert during.of("held_credits") == held.micro / 10**6
    assert during.by("upstream_connections", "state") == {"active": 1}
    assert (after.of("open_calls"), after.of("held_credits")) == (0, 0)
    assert after.by("upstream_connections", "state") == {"idle": 1}


@set_up(openai__max_connections="1")
async def test_a_call_without_a_connection_waits(house: House):
    """More calls than connections is a queue that somebody should see."""
    acme = await house.business()
    gate = asyncio.Event()
    house.openai.holds_replies(gate)

    calls = [asyncio.create_task(house.chat(acme)) for _ in range(3)]
    waiting = {"state": "waiting"}
    seen = await scraped_until(house, lambda now: now.of("upstream_connections", **waiting) == 2)
    gate.set()
    await asyncio.gather(*calls)

    assert seen.of("upstream_connections", state="active") == 1


async def test_a_reply_that_is_read_on_is_a_drain(house: House):
    """Its caller has left, and OpenAI bills it all the same."""
    acme = await house.business()
    gate = asyncio.Event()
    house.openai.holds_replies(gate)

    call = asyncio.create_task(house.chat(acme))
    await house.openai.received(1)
    call.cancel()
    await asyncio.wait([call])
    await scraped_until(house, lambda now: now.of("drains") == 1)
    gate.set()
    await house.quiet()

    assert (await scraped(house)).of("drains") == 0


async def test_a_settle_waits_until_redis_has_answered_and_is_kept_until_sql_has_it(
    house: House, monkeypatch
):
    """Two numbers, because they mean two stores."""
    acme = await house.business()
    hold = await a_hold(acme, "4.00")
    gate, ask = asyncio.Event(), Balances.settle

    async def slow(self: Balances, **given: object) -> object:
        await gate.wait()
        return await ask(self, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(Balances, "settle", slow)
    house.parts.loops.settler.settle(settlement_of(hold, "1.50"))
    during = await scraped(house)
    gate.set()
    await house.quiet()
    await house.parts.loops.settler.forget_recorded()
    after = await scraped(house)

    assert (during.of("settles_unanswered"), during.of("settles_kept")) == (1, 1)
    assert (after.of("settles_unanswered"), after.of("settles_kept")) == (0, 0)


async def test_what_the_recorder_writes_is_counted(house: House):
    """One row for each call, however many share a batch."""
    acme = await house.business()
    await asyncio.gather(*(house.chat(acme) for _ in range(5)))
    await house.quiet()

    seen = await scraped(house)
    assert seen.of("recorder_rows_total") == 5
    assert 1 <= seen.of("recorder_batches_total") <= 5
    assert seen.by("recorder_failures_total", "reason") == {}


async def test_entries_that_wait_are_counted_and_the_oldest_has_its_age(house: House, monkeypatch):
    """The age is the first sign that SQL is away or too slow."""
    backlog = house.parts.loops.backlog

    async def nothing(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(outbox, "read", nothing)
    redis = house.parts.stores.redis
    minute_ago_ms = int(time() * 1000) - 60_000
    for partition, at_ms in ((3, minute_ago_ms), (7, minute_ago_ms + 30_000)):
        await redis.xadd(redis_keys.outbox(partition), {"v": "1"}, id=f"{at_ms}-0")
    await backlog.look()
    during = await scraped(house)
    await redis.flushall()
    await backlog.look()
    after = await scraped(house)

    assert (during.of("outbox_entries"), during.of("outbox_bytes")) == (2, 1600)
    assert 60 <= during.of("outbox_oldest_seconds") < 90
    assert (after.of("outbox_entries"), after.of("outbox_oldest_seconds")) == (0, 0)


async def test_an_sql_that_is_away_is_a_failure_of_the_recorder(house: House, monkeypatch):
    """It tries again by itself; the count is what an alert looks at."""
    acme = await house.business()

    async def away(*_: object, **__: object) -> None:
        raise RecordsUnavailable("SQL is away")

    with monkeypatch.context() as patched:
        patched.setattr(transactions, "record", away)
        await house.chat(acme)
        failures = ("recorder_failures_total", "reason")
        seen = await scraped_until(house, lambda now: bool(now.by(*failures)))

    assert seen.by("recorder_failures_total", "reason").keys() == {"sql_away"}


async def test_an_entry_that_cannot_be_stored_becomes_a_dead_letter(house: House):
    """After five tries, each of them a failure."""
    redis = house.parts.stores.redis
    await redis.xadd(redis_keys.outbox(0), {"v": "1", "kind": "nonsense"})

    seen = await scraped_until(house, lambda now: now.of("dead_letters_total") > 0)

    assert seen.of("dead_letters_total") == 1
    assert seen.by("recorder_failures_total", "reason") == {"entry": 5}


async def test_a_shortfall_is_counted_in_credits(house: House):
    """Half a credit that nobody pays is half a credit here."""
    acme = await house.business("5.00")
    hold = await a_hold(acme, "4.00")

    house.parts.loops.settler.settle(settlement_of(hold, "7.25"))
    await house.quiet()

    seen = await scraped(house)
    assert seen.of("shortfall_credits_total") == 2.25
    assert seen.by("used_credits_total", "model") == {"gpt-5.4-mini": 5.0}


async def test_a_sweep_and_what_puts_it_right_are_counted(house: House):
    """The sweep charged 1.25, the call cost 1.00: a quarter was returned."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00")
    await house.parts.ledger.balances.renew(
        business=acme.id, id=hold.id, lease_s=0.001, metered=Credits.parse("1.25")
    )
    await lease_ended(acme)
    await house.parts.loops.sweeper.sweep_once()
    swept = await scraped(house)
    house.parts.loops.settler.settle(settlement_of(hold, "1.00"))
    await house.quiet()
    righted = await scraped(house)

    assert swept.of("swept_holds_total") == 1
    assert swept.by("used_credits_total", "model") == {"other": 1.25}
    assert righted.by("late_settles_total", "kind") == {"adjusted": 1}
    assert righted.of("returned_credits_total") == 0.25
    assert righted.by("used_credits_total", "model") == {"other": 1.25}


async def test_a_settle_without_a_hold_is_counted(house: House):
    """Neither a hold nor an answer was left of it."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00")
    late = settlement_of(hold, "1.50")
    late.id = "0198a1b2-0000-7000-8000-000000000001"

    house.parts.loops.settler.settle(late)
    await house.quiet()

    assert (await scraped(house)).by("late_settles_total", "kind") == {"adopted": 1}


async def test_a_redis_that_lost_something_is_a_loss_and_frozen_partitions(house: House):
    """Each partition once, however often somebody asks it."""
    acme = await house.business()
    await house.parts.stores.redis.flushall()

    for _ in range(3):
        await house.chat(acme)
    seen = await scraped(house)

    frozen = len(house.parts.ledger.partitions.frozen)
    assert frozen >= 1
    assert (seen.of("losses_total"), seen.of("frozen_partitions")) == (frozen, frozen)


async def test_scripts_are_counted_and_their_batches_timed(house: House):
    """A call has a hold and a settle; at rest each is a batch of its own."""
    acme = await house.business()
    before = await scraped(house)
    await house.chat(acme)
    await house.quiet()
    after = await scraped(house)

    scripts = after.of("redis_scripts_total") - before.of("redis_scripts_total")
    batches = after.of("redis_batch_seconds_count") - before.of("redis_batch_seconds_count")
    assert (scripts, batches) == (2, 2)
    assert after.of("redis_failures_total") == 0


async def test_a_batch_that_redis_does_not_answer_is_a_failure(house: House, monkeypatch):
    """It was asked, and it has no time."""
    scripts = house.parts.ledger.scripts
    before = await scraped(house)

    async def away(*_: object) -> None:
        raise NotConnected("nobody is there")

    monkeypatch.setattr(Lane, "_send", away)
    with pytest.raises(LedgerUnavailable):
        await scripts.call("renew", [redis_keys.meta(0)], ["0"])
    after = await scraped(house)

    # A background loop may ask in the same moment.
    assert after.of("redis_failures_total") - before.of("redis_failures_total") >= 1
    timed = "redis_batch_seconds_count"
    assert after.of(timed) == before.of(timed)


async def test_the_process_itself_is_measured(house: House):
    """Memory, processor time and open files, under the names that every dashboard knows."""
    seen = await scraped(house)

    assert {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds"} <= set(
        seen.families
    )
    assert seen.of("workers") == 1
