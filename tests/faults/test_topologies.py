"""Money stays exact where Redis is several servers, some of which move, die, or are replaced."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.dev.stub_gates import Turnstile
from gateway.doctor.ledger_checks import check_clocks
from gateway.doctor.redis_checks import check_redis
from metering.money import Credits
from storage import redis_keys
from storage.proving import Prover
from tests.engines import redis_program, valkey_program
from tests.house import Acme, House, open_house
from tests.laws.conftest import SETTINGS
from tests.laws.laws import check_laws
from tests.laws.lifetimes import nothing_is_left
from tests.redis_sentinels import SentinelSet, start_sentinels
from tests.redis_servers import Cluster, start_cluster

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

SOON = {"holds__lease_s": "20", "holds__sweep_every_s": "0.2", **SETTINGS}
ASKED_AGAIN_S = 0.02


@pytest.fixture
def cluster(folder: Path) -> Iterator[Cluster]:
    """Three Valkeys and a replica."""
    made = start_cluster(folder, valkey_program())
    yield made
    made.stop()


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def sentinels(folder: Path, request: pytest.FixtureRequest) -> Iterator[SentinelSet]:
    """Two Redis 7.0 and three Sentinels."""
    made = start_sentinels(folder, redis_program(), tls=request.param)
    yield made
    made.stop()


@pytest.fixture
async def house(
    cluster: Cluster, sqlite_records_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """A house on the Cluster."""
    # A gateway whose ledger is frozen has settles that nobody will take: it need not wait.
    monkeypatch.setattr("gateway.app.SETTLES_WITHIN_S", 0.1)
    async with open_house(redis_url=cluster.url, records_url=sqlite_records_url, **SOON) as opened:
        yield opened


async def one_of_each_partition(house: House) -> dict[int, Acme]:
    """A business in every partition, with credits."""
    found: dict[int, Acme] = {}
    while len(found) < redis_keys.PARTITIONS:
        acme = await house.business("0.00")
        found.setdefault(redis_keys.partition_of(acme.id), acme)
    for acme in found.values():
        await house.top_up(acme, "100.00")
    return found


async def answered(house: House, acme: Acme, told: Counter[int]) -> None:
    """Ask until it is answered; the only refusal is that the ledger is away."""
    while True:
        reply = await house.chat(acme)
        told[reply.status_code] += 1
        if reply.status_code == 200:
            return
        assert reply.status_code == 503, reply.text
        assert reply.json()["error"]["code"] == "ledger_unavailable", reply.text
        await asyncio.sleep(ASKED_AGAIN_S)


async def all_answered(house: House, acmes: Iterable[Acme], *, calls: int) -> Counter[int]:
    """So many calls of each business, the businesses beside each other."""
    told: Counter[int] = Counter()

    async def of_one(acme: Acme) -> None:
        for _ in range(calls):
            await answered(house, acme, told)

    await asyncio.gather(*map(of_one, acmes))
    return told


async def is_exact(house: House, acmes: Iterable[Acme], *, calls: int) -> None:
    """Every call is billed, recorded and paid once; nothing is held; every law holds."""
    await house.quiet()
    seen = await check_laws(house)
    outcomes = Counter(row.outcome for row in seen.transactions)
    assert outcomes["settled"] == len(house.openai.billed) == calls
    for acme in acmes:
        assert await acme.held() == Credits(0)
        assert await acme.available() == await acme.recorded()
    await nothing_is_left(house.parts.stores.redis)


async def test_a_cluster_is_proved_and_looked_at_server_by_server(
    house: House, cluster: Cluster
) -> None:
    """The doctor names the one that may forget a write; the books of all partitions are read."""
    acmes = await one_of_each_partition(house)
    await all_answered(house, acmes.values(), calls=1)
    await house.quiet()
    stores = house.parts.stores
    redis: Any = stores.redis
    prover = Prover(stores.database, redis)
    drifted = acmes[7]
    account = redis_keys.account(7, drifted.id)

    sound = [each.violations async for each in prover.all()]
    await redis.hincrby(account, "total", 1)
    broken = await prover.some([acme.id for acme in acmes.values()])
    await redis.hincrby(account, "total", -1)
    forgetful = (await redis.servers())[1]
    await forgetful.config_set("appendfsync", "no")
    found = await check_redis(redis, durability="aof_always")
    clocks = await check_clocks(redis, stores.database)

    assert sound == [[]]
    assert {violation.business for violation in broken} == {drifted.id}
    (wrong,) = [one for one in found if one.verdict == "wrong"]
    at = forgetful.connection_pool.connection_kwargs
    assert wrong.said.startswith(f"{at['host']}:{at['port']}: ")
    assert Counter(one.check for one in found)["redis"] == 3
    assert clocks.verdict == "ok"


async def test_partitions_move_and_a_server_dies_under_calls(
    house: House, cluster: Cluster
) -> None:
    """200 calls of all 16 partitions: two are moved and a server is killed and started again."""
    acmes = await one_of_each_partition(house)
    calling = asyncio.create_task(all_answered(house, acmes.values(), calls=13))
    moving = [p for p in acmes if cluster.owner(p) is cluster.servers[1]][:2]

    await house.openai.received(50)
    for partition in moving:
        source, slot = await asyncio.to_thread(
            cluster.begins_to_move, partition, cluster.servers[2]
        )
        # A call of it now has keys that are there and keys that are not.
        refused = await house.chat(acmes[partition])
        assert refused.status_code == 503, refused.text
        await asyncio.to_thread(cluster.ends_move, source, slot, cluster.servers[2])
    await house.openai.received(120)
    cluster.servers[2].engine.kill()
    await asyncio.to_thread(cluster.servers[2].starts)
    told = await calling
    await asyncio.to_thread(cluster.is_well)

    assert told[200] == 13 * 16
    assert all(cluster.owner(partition) is cluster.servers[2] for partition in moving)
    await is_exact(house, acmes.values(), calls=13 * 16)
    print(f"\ntold {dict(told)}")


async def test_a_replica_takes_over_and_the_others_are_served_meanwhile(
    house: House, cluster: Cluster
) -> None:
    """What is asked of a dead server fails; the other partitions do not even wait."""
    acmes = await one_of_each_partition(house)
    dead: list[Acme] = []
    alive: list[Acme] = []
    for partition, acme in acmes.items():
        (dead if cluster.owner(partition) is cluster.servers[0] else alive).append(acme)
    await all_answered(house, acmes.values(), calls=2)
    await house.quiet()
    await asyncio.to_thread(cluster.is_replicated)

    cluster.servers[0].engine.kill()
    waiting = asyncio.create_task(all_answered(house, dead, calls=3))
    told = await all_answered(house, alive, calls=3)
    ready = await house.client.get("/readyz")
    await asyncio.to_thread(cluster.is_promoted)
    refused = await waiting

    assert told == {200: 3 * len(alive)}
    assert refused[503] > 0
    assert (ready.status_code, ready.json()["redis"]) == (503, "does not answer")
    assert (await house.client.get("/readyz")).status_code == 200
    await is_exact(house, acmes.values(), calls=5 * 16)


async def test_a_replica_that_lacked_something_is_noticed_and_not_served_from(
    house: House, cluster: Cluster
) -> None:
    """A failover may lose acknowledged writes: its partitions are frozen, and nobody overspends."""
    acmes = await one_of_each_partition(house)
    poor = next(a for p, a in acmes.items() if cluster.owner(p) is cluster.servers[0])
    rich = next(a for p, a in acmes.items() if cluster.owner(p) is cluster.servers[1])
    await all_answered(house, acmes.values(), calls=1)
    await house.quiet()
    await asyncio.to_thread(cluster.is_replicated)
    billed = len(house.openai.billed)

    # What is on its way to a server that only sleeps would be read when it wakes.
    cluster.replica.engine.pause()
    cluster.servers[0].says("CLIENT", "KILL", "TYPE", "replica")
    await all_answered(house, [poor], calls=2)
    cluster.servers[0].engine.kill()
    cluster.replica.engine.resume()
    await asyncio.to_thread(cluster.is_promoted)
    async with asyncio.timeout(20):
        while "frozen" not in (ready := await house.client.get("/readyz")).json()["ledger"]:
            refused = await house.chat(poor)
            await asyncio.sleep(ASKED_AGAIN_S)

    assert refused.json()["error"]["code"] == "ledger_unavailable"
    assert ready.status_code == 503
    assert len(house.openai.billed) == billed + 2
    assert (await house.chat(rich)).status_code == 200


async def test_a_call_goes_on_at_the_master_that_sentinels_made(
    sentinels: SentinelSet, postgres_records_url: str
) -> None:
    """One call before, one that is running meanwhile, one after; each is paid once."""
    async with open_house(
        redis_url=sentinels.url, records_url=postgres_records_url, **SOON
    ) as house:
        acme = await house.business()
        assert (await house.chat(acme)).status_code == 200
        openai_works = Turnstile()
        house.openai.holds_replies(openai_works)
        running = asyncio.create_task(house.chat(acme))
        await house.openai.received(2)
        await asyncio.to_thread(sentinels.is_replicated)

        sentinels.servers[0].engine.kill()
        await asyncio.to_thread(sentinels.fails_over)
        openai_works.opens()
        assert (await running).status_code == 200
        told = await all_answered(house, [acme], calls=1)

        assert told[200] == 1
        await is_exact(house, [acme], calls=3)
