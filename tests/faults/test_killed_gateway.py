"""A gateway that is killed in the middle of its calls loses none of them and doubles none."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.faults.conftest import Scale
from tests.faults.load import Load
from tests.faults.site import Site
from tests.laws.seen import Seen

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

SEED = 20261122


async def test_kill_9_loses_no_call_and_doubles_none(site: Site, scale: Scale) -> None:
    """What OpenAI billed has its row, what was held is free again, and the sums are exact."""
    load = Load(site.gateway, await site.opens_business(), seed=SEED)
    await site.gateway.starts()
    for round in range(scale.rounds):
        billed_before = len(site.bills)
        calling = asyncio.create_task(load.makes(scale.calls, at_once=40))
        some = random.Random(SEED + round).randint(scale.calls // 10, scale.calls * 7 // 10)

        await site.billed(billed_before + some)
        site.gateway.is_killed()
        await site.tops_up("10")
        if round % 2:
            site.loses_redis()  # As when the machine goes: both at once.
        await site.gateway.starts()
        await calling
        await site.quiet()

        seen = await site.obeys_the_laws()
        assert orphans(seen), "it was killed in the middle of calls"
        everything_adds_up(site, seen)
    say(site, load, seen, kills=scale.rounds)


async def test_what_a_dead_gateway_held_is_freed_by_another(
    site_of_two: Site, scale: Scale
) -> None:
    """Two gateways record, sweep and credit the same ledger; one dies and stays dead."""
    site = site_of_two
    key = await site.opens_business()
    await asyncio.gather(site.gateway.starts(), site.another.starts())
    loads = [Load(gateway, key, seed=SEED) for gateway in (site.gateway, site.another)]
    dying, living = (asyncio.create_task(load.makes(scale.calls, at_once=20)) for load in loads)

    await site.billed(scale.calls // 4)
    await site.tops_up("10")
    site.gateway.is_killed()
    dying.cancel()
    await living
    await asyncio.wait([dying])
    await site.quiet()

    seen = await site.obeys_the_laws()
    assert loads[1].told == {"200": scale.calls}
    assert orphans(seen)
    everything_adds_up(site, seen)


async def test_a_gateway_that_nobody_calls_frees_what_a_dead_one_held(one_site: Site) -> None:
    """The sweep needs no call to begin: the credits of 20 dead calls come back by themselves."""
    site = one_site
    load = Load(site.gateway, await site.opens_business(), seed=SEED, latency_ms=2000)
    await site.gateway.starts()
    calling = asyncio.create_task(load.makes(20, at_once=20))
    await site.held(20)

    site.gateway.is_killed()
    await calling
    await site.gateway.starts()
    await site.quiet()

    seen = await site.obeys_the_laws()
    assert orphans(seen) == len(seen.transactions) == 20
    everything_adds_up(site, seen)


async def test_a_stream_that_was_cut_by_a_death_costs_what_was_noted_of_it(one_site: Site) -> None:
    """Every third of a lease a call's cost so far is noted in Redis; a sweep charges that."""
    site = one_site
    load = Load(site.gateway, await site.opens_business(), seed=SEED, chunks=1000, delay_ms=2)
    await site.gateway.starts()
    calling = asyncio.create_task(load.streams())
    await site.noted()

    site.gateway.is_killed()
    await calling
    await site.gateway.starts()
    await site.quiet()

    seen = await site.obeys_the_laws()
    (row,) = seen.transactions
    (bill,) = site.bills
    assert (row.outcome, row.estimated, row.success) == ("orphaned", True, False)
    assert 0 < row.credits_used_microcredits < site.price_of(bill).micro
    everything_adds_up(site, seen)


async def test_sigterm_lets_every_call_end_and_leaves_nothing_behind(site: Site) -> None:
    """50 calls are under way: each is answered whole, settled and recorded, and it exits 0."""
    load = Load(site.gateway, await site.opens_business(), seed=SEED, latency_ms=2000)
    await site.gateway.starts()
    calling = asyncio.create_task(load.makes(50, at_once=50))
    await site.held(50)

    exit_code = await site.gateway.is_stopped()
    await calling

    assert exit_code == 0, site.gateway.last_words
    assert load.told == {"200": 50}
    seen = await site.obeys_the_laws()
    assert not any(seen.holds.values())
    assert not seen.outbox
    assert Counter(row.outcome for row in seen.transactions) == {"settled": 50}
    assert {row.id for row in seen.transactions} == {bill.transaction for bill in site.bills}
    everything_adds_up(site, seen)


def orphans(seen: Seen) -> int:
    """Calls whose gateway died."""
    return sum(row.outcome == "orphaned" for row in seen.transactions)


def everything_adds_up(site: Site, seen: Seen) -> None:
    """Balance and charges are what was topped up, in SQL and in Redis."""
    balance, account = seen.balances[site.business], seen.accounts[site.business]
    charged = sum(row.credits_used_microcredits for row in seen.transactions)
    assert balance.balance_microcredits + charged == site.topped_up.micro
    assert account.total == balance.balance_microcredits
    assert account.held == 0


def say(site: Site, load: Load, seen: Seen, *, kills: int) -> None:
    """What was done to it, for who reads the output (`pytest -s`)."""
    outcomes = Counter(row.outcome for row in seen.transactions)
    print(
        f"\n{kills} kills, {sum(load.told.values())} calls {dict(load.told)}, "
        f"{len(site.bills)} billed, {len(seen.transactions)} rows {dict(outcomes)}"
    )
