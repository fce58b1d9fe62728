"""A gateway that is killed in the middle of its calls loses none of them and doubles none."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.faults.conftest import Scale
from tests.faults.site import TOPPED_UP, Load, Site
from tests.laws.seen import Seen

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

SEED = 20261122


async def test_kill_9_loses_no_call_and_doubles_none(site: Site, scale: Scale) -> None:
    """What OpenAI billed has its row, what was held is free again, and the sums are exact."""
    key = await site.business()
    await site.starts()
    for round in range(scale.rounds):
        load = Load(site, key, seed=SEED + round)
        billed_before = len(site.bills)
        calling = asyncio.create_task(load.makes(scale.calls, at_once=40))
        some = random.Random(SEED + round).randint(scale.calls // 10, scale.calls * 7 // 10)

        await site.billed(billed_before + some)
        site.kills_gateway()
        await site.starts()
        await calling
        await site.quiet()

        seen = await site.obeys_the_laws()
        assert orphans(seen), "it was killed in the middle of calls"
        everything_adds_up(seen)
    say(site, seen)


async def test_a_gateway_that_nobody_calls_frees_what_a_dead_one_held(site: Site) -> None:
    """The sweep needs no call to begin: the credits of 20 dead calls come back by themselves."""
    key = await site.business()
    await site.starts()
    calling = asyncio.create_task(Load(site, key, seed=SEED).makes(20, at_once=20))
    await site.held(20)

    site.kills_gateway()
    await calling
    await site.starts()
    await site.quiet()

    seen = await site.obeys_the_laws()
    assert orphans(seen) == len(seen.transactions) == 20
    everything_adds_up(seen)


async def test_a_stream_that_was_cut_by_a_death_costs_what_was_noted_of_it(site: Site) -> None:
    """Every third of a lease a call's cost so far is noted in Redis; a sweep charges that."""
    key = await site.business()
    await site.starts()
    load = Load(site, key, seed=SEED)
    calling = asyncio.create_task(load.streams(chunks=2000, delay_ms=2))
    await site.noted()

    site.kills_gateway()
    await calling
    await site.starts()
    await site.quiet()

    seen = await site.obeys_the_laws()
    (row,) = seen.transactions
    (bill,) = site.bills
    assert (row.outcome, row.estimated, row.success) == ("orphaned", True, False)
    assert 0 < row.credits_used_microcredits < site.price_of(bill).micro
    everything_adds_up(seen)


async def test_sigterm_lets_every_call_end_and_leaves_nothing_behind(site: Site) -> None:
    """50 calls are under way: each is answered whole, settled and recorded, and it exits 0."""
    key = await site.business()
    await site.starts()
    calling = asyncio.create_task(Load(site, key, seed=SEED).makes(50, at_once=50))
    await site.held(50)
    assert site.gateway is not None

    exit_code = await site.gateway.terminated()
    await calling

    assert exit_code == 0, site.gateway.log.read_text()[-3000:]
    assert site.told == {"200": 50}
    seen = await site.obeys_the_laws()
    assert not any(seen.holds.values())
    assert not seen.outbox
    assert Counter(row.outcome for row in seen.transactions) == {"settled": 50}
    assert {row.id for row in seen.transactions} == {bill.transaction for bill in site.bills}
    everything_adds_up(seen)


def orphans(seen: Seen) -> int:
    """Calls whose gateway died."""
    return sum(row.outcome == "orphaned" for row in seen.transactions)


def everything_adds_up(seen: Seen) -> None:
    """Balance and charges are what was topped up, in SQL and in Redis."""
    ((business, balance),) = seen.balances.items()
    charged = sum(row.credits_used_microcredits for row in seen.transactions)
    assert balance.balance_microcredits + charged == TOPPED_UP.micro
    assert seen.accounts[business].total == balance.balance_microcredits
    assert seen.accounts[business].held == 0


def say(site: Site, seen: Seen) -> None:
    """What was done to it, for who reads the output."""
    outcomes = Counter(row.outcome for row in seen.transactions)
    print(
        f"\n{site.kills} kills, {sum(site.told.values())} calls {dict(site.told)}, "
        f"{len(site.bills)} billed, {len(seen.transactions)} rows {dict(outcomes)}, 0 lost, "
        "0 doubled"
    )
