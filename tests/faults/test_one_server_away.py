"""A Cluster that has lost one of its servers: what runs beside the calls goes on with the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from metering.money import Credits
from storage import redis_keys
from storage.businesses import Business
from storage.errors import LedgerUnavailable
from tests.faults.test_topologies import cluster, one_of_each_partition
from tests.gateway.background.a_hold import a_hold
from tests.house import Acme, House, open_house
from tests.laws.conftest import SETTINGS
from tests.redis_servers import Cluster
from tests.storage.outbox_entries import add_business

__all__ = ["cluster"]

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

AT_ONCE = {"holds__lease_s": "10", "holds__sweep_every_s": "0.1", **SETTINGS}
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
async def house(
    cluster: Cluster,
    sqlite_records_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[House]:
    """A house on the Cluster, with leases that are over soon."""
    monkeypatch.setattr("gateway.app.SETTLES_WITHIN_S", 0.1)
    async with open_house(
        redis_url=cluster.url, records_url=sqlite_records_url, **AT_ONCE
    ) as opened:
        yield opened


def those_of(cluster: Cluster, dead: int) -> set[int]:
    """The partitions of a server."""
    return {
        partition
        for partition in range(redis_keys.PARTITIONS)
        if cluster.owner(partition) is cluster.servers[dead]
    }


async def test_dead_holds_are_swept_where_redis_answers(
    house: House,
    cluster: Cluster,
) -> None:
    """By the loop itself; those of the dead server wait for it, and are swept when it is back."""
    acmes = await one_of_each_partition(house)
    away = those_of(cluster, 1)
    house.parts.loops.sweeper._lease_s = 0.5
    cluster.servers[1].engine.kill()
    held = {p: acme for p, acme in acmes.items() if p not in away}
    for acme in held.values():
        await a_hold(acme, "4.00", lease_s=0.001)

    await nothing_held(held.values())
    await asyncio.to_thread(cluster.servers[1].starts)
    await asyncio.to_thread(cluster.is_well)
    back = [acmes[p] for p in away]
    for acme in back:
        await a_hold(acme, "4.00", lease_s=0.001)
    await nothing_held(back)

    assert 0 < len(away) < redis_keys.PARTITIONS
    assert house.parts.ledger.partitions.frozen == {}


async def nothing_held(acmes: Any) -> None:
    async with asyncio.timeout(20):
        for acme in acmes:
            while await acme.held() != Credits(0):
                await asyncio.sleep(0.01)


async def test_balances_end_and_accounts_are_audited_where_redis_answers(
    house: House,
    cluster: Cluster,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In one round; it still says that somebody is away."""
    acmes = await one_of_each_partition(house)
    ended = await one_ended_of_each_partition(house)
    away = those_of(cluster, 1)
    living = sorted(set(acmes) - away)
    for partition in living:
        account = redis_keys.account(partition, acmes[partition].id)
        await house.parts.stores.redis.hincrby(account, "held", 1)
    cluster.servers[1].engine.kill()
    loops = house.parts.loops
    loops.reconciler._pause_s = 0.0

    with pytest.raises(LedgerUnavailable):
        await loops.expiry.expire_all(datetime.now(UTC))
    with pytest.raises(LedgerUnavailable):
        await loops.reconciler.audit_all()

    for partition in living:
        shop = Acme(house, ended[partition].id, "", Credits(0))
        assert await shop.available() == Credits(0)
    wrong = {r.business for r in caplog.records if r.message == "account_wrong"}  # type: ignore[attr-defined]
    assert {acmes[partition].id for partition in living} <= wrong


async def one_ended_of_each_partition(house: House) -> dict[int, Business]:
    """Businesses whose credits came to their end, each known to Redis."""
    found: dict[int, Business] = {}
    while len(found) < redis_keys.PARTITIONS:
        shop = await add_business(house.database, topped_up="30", at=LONG_AGO)
        found.setdefault(redis_keys.partition_of(shop.id), shop)
    return found
