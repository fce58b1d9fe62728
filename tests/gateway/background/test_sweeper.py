"""The sweeper: a dead call's hold comes back, a living one's stays."""

from __future__ import annotations

import pytest

from gateway.background import sweeper as module
from metering.money import Credits
from storage import redis_keys
from tests.gateway.background.a_hold import a_hold, lease_ended, settlement_of
from tests.house import House

pytestmark = pytest.mark.anyio


async def test_a_hold_past_its_lease_is_charged_at_its_checkpoint(house: House):
    """What was noted last is the price; the row says that it is an estimate."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00")
    await house.parts.ledger.balances.renew(
        business=acme.id, id=hold.id, lease_s=0.001, metered=Credits.parse("1.25")
    )
    await lease_ended(acme)

    swept = await house.parts.loops.sweeper.sweep_once()

    (row,) = await acme.transactions()
    assert swept == 1
    assert (row.id, row.outcome, row.estimated) == (hold.id, "orphaned", True)
    assert row.credits_used == Credits.parse("1.25")
    assert await acme.available() == Credits.parse("8.75")
    assert await acme.held() == Credits(0)


async def test_a_hold_that_was_never_noted_is_given_back_whole(house: House):
    """Nothing was delivered that we know of; the loss is ours."""
    acme = await house.business("10.00")
    await a_hold(acme, "4.00", lease_s=0.001)
    await lease_ended(acme)

    await house.parts.loops.sweeper.sweep_once()

    assert await acme.available() == Credits.parse("10.00")


async def test_a_hold_within_its_lease_is_left_alone(house: House):
    """The clock of Redis decides, when it is swept and not when it was found."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00")

    swept = await house.parts.loops.sweeper.sweep_once()
    asked = await house.parts.ledger.balances.sweep(business=acme.id, id=hold.id)

    assert (swept, asked) == (0, None)
    assert await acme.held() == hold.granted


async def test_two_sweepers_charge_once(house: House):
    """Who comes second finds nothing."""
    acme = await house.business("10.00")
    await a_hold(acme, "4.00", lease_s=0.001)
    await lease_ended(acme)
    sweeper = house.parts.loops.sweeper

    assert [await sweeper.sweep_once(), await sweeper.sweep_once()] == [1, 0]
    assert len(await acme.transactions()) == 1


async def test_a_call_that_settles_before_the_sweep_is_not_swept(house: House):
    """Its hold is gone with its deadline."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00", lease_s=0.001)
    await lease_ended(acme)
    house.parts.loops.settler.settle(settlement_of(hold, "1.50"))
    await house.quiet()

    assert await house.parts.loops.sweeper.sweep_once() == 0
    assert [row.outcome for row in await acme.transactions()] == ["settled"]


async def test_a_frozen_partition_is_not_swept(house: House):
    """What it holds may be a lie; it is recovered first."""
    acme = await house.business("10.00")
    hold = await a_hold(acme, "4.00", lease_s=0.001)
    await lease_ended(acme)
    partition = redis_keys.partition_of(acme.id)

    await house.parts.ledger.partitions.freeze(partition, "a test")

    assert await house.parts.loops.sweeper.sweep_once() == 0
    redis = house.parts.stores.redis
    assert await redis.hexists(redis_keys.holds(partition, acme.id), hold.id)


@pytest.mark.parametrize(
    ("steady_for_s", "may"), [(None, False), (0.0, False), (59.0, False), (60.0, True)]
)
def test_a_redis_that_just_woke_up_gives_the_living_time_to_renew(steady_for_s, may, monkeypatch):
    """After a sleep longer than the leases every call looks dead, until one lease has gone by."""

    since = None if steady_for_s is None else 1000.0 - steady_for_s

    class Scripts:
        def steady_since(self, partition: int) -> float | None:
            return since

    monkeypatch.setattr(module, "monotonic", lambda: 1000.0)
    nothing: object = None
    sweeper = module.Sweeper(nothing, nothing, Scripts(), lease_s=60.0, every_s=10.0)  # type: ignore[arg-type]

    sweeper._compared = {3: since}

    assert sweeper.may_sweep(3) is may
    assert sweeper.may_sweep(4) is False  # It was not compared with SQL since then.


async def test_one_account_in_trouble_keeps_no_other_hold_waiting(house: House):
    """Corrupt or frozen: it is logged and left, and the sweep goes on."""
    redis = house.parts.stores.redis
    corrupt = await house.business("10.00", name="Corrupt")
    frozen = await house.business("10.00", name="Frozen")
    acme = await house.business("10.00")
    for business in (corrupt, frozen, acme):
        await a_hold(business, "4.00", lease_s=0.001)
        await lease_ended(business)
    p = redis_keys.partition_of
    await redis.hset(redis_keys.account(p(corrupt.id), corrupt.id), "total", "12.5")
    await redis.hset(redis_keys.account(p(frozen.id), frozen.id), "frozen", "a test")

    swept = await house.parts.loops.sweeper.sweep_once()

    assert swept == 1
    assert await acme.held() == Credits(0)
    assert house.parts.ledger.partitions.frozen == {}
