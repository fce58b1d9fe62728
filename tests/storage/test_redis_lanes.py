"""A Cluster that changes: each call is sent where its partition is, and is never guessed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis.asyncio import Redis

from storage import outbox, redis_keys
from storage.errors import IN_DOUBT, LedgerUnavailable
from storage.redis_cluster import ClusterClient
from storage.scripts import Scripts, connect
from tests.engines import redis_program, start_valkey, valkey_program
from tests.redis_servers import Cluster, Server, start_cluster
from tests.storage.redis_door import RedisDoor

pytestmark = pytest.mark.anyio

PROGRAMS = {"valkey": valkey_program, "redis": redis_program}
EVERY = range(redis_keys.PARTITIONS)


@pytest.fixture(scope="module", params=PROGRAMS)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Three servers and a replica, of each engine."""
    with TemporaryDirectory(prefix="cluster-") as folder:
        made = start_cluster(Path(folder), PROGRAMS[request.param]())
        yield made
        made.stop()


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[ClusterClient]:
    for server in cluster.servers:
        server.says("FLUSHALL")
    made = connect(cluster.url)
    assert isinstance(made, ClusterClient)
    yield made
    await made.aclose()


@pytest.fixture
async def scripts(client: ClusterClient) -> AsyncIterator[Scripts]:
    made = Scripts(client)  # type: ignore[arg-type]
    yield made
    await made.close()


async def begin(scripts: Scripts, partition: int = 0) -> list[object]:
    return await scripts.call("begin", [redis_keys.meta(partition)], ["1", "0"])


async def renewed(scripts: Scripts, partition: int) -> list[object]:
    """A script of three keys, of which only one is there."""
    keys = [redis_keys.meta(partition), redis_keys.holds(partition, ""), "{p00}:deadlines"]
    keys[2] = redis_keys.deadlines(partition)
    return await scripts.call("renew", keys, ["1", "b", "id", "1000", "0"])


def elsewhere(cluster: Cluster, partition: int) -> Server:
    """A server that does not have a partition."""
    return next(each for each in cluster.servers if each is not cluster.owner(partition))


async def test_each_partition_is_asked_of_its_server(
    cluster: Cluster, client: ClusterClient, scripts: Scripts
) -> None:
    """All 16 at once; three servers have them."""
    answers = await asyncio.gather(*(begin(scripts, partition) for partition in EVERY))

    assert answers == [["OK", 0]] * 16
    assert len(client.owners.all) == 3
    for partition in EVERY:
        assert cluster.owner(partition).says("EXISTS", redis_keys.meta(partition)) == 1
    assert all(scripts.steady_since(partition) is not None for partition in EVERY)


async def test_a_call_follows_a_partition_that_has_moved(
    cluster: Cluster, client: ClusterClient, scripts: Scripts
) -> None:
    """MOVED: nobody is told anything but the answer, and the map is right afterwards."""
    await begin(scripts)
    to = elsewhere(cluster, 0)
    await asyncio.to_thread(cluster.moves, 0, to)

    assert await begin(scripts) == ["EXISTS", 0]
    owner = client.owners.of(0)
    assert owner is not None
    assert owner[1] == to.port


async def test_a_partition_that_is_being_moved_is_asked_where_it_arrives(
    cluster: Cluster, scripts: Scripts
) -> None:
    """ASK: its keys are gone from the one server, and the other one takes them in."""
    await begin(scripts)
    to = elsewhere(cluster, 0)
    source, slot = await asyncio.to_thread(cluster.begins_to_move, 0, to)
    source.says("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", redis_keys.meta(0))

    assert await begin(scripts) == ["EXISTS", 0]
    await asyncio.to_thread(cluster.ends_move, source, slot, to)
    assert await begin(scripts) == ["EXISTS", 0]


async def test_a_partition_that_is_in_two_places_is_in_doubt_until_it_has_arrived(
    cluster: Cluster, scripts: Scripts
) -> None:
    """TRYAGAIN: asked again for as long as an answer may take, then by the caller, by its id."""
    await begin(scripts)
    to = elsewhere(cluster, 0)
    source, slot = await asyncio.to_thread(cluster.begins_to_move, 0, to)
    with pytest.raises(LedgerUnavailable) as doubtful:
        await renewed(scripts, 0)
    waiting = asyncio.create_task(renewed(scripts, 0))
    await asyncio.to_thread(cluster.ends_move, source, slot, to)

    assert doubtful.value.reason == IN_DOUBT
    assert await waiting == ["GONE", 0]


async def test_keys_of_two_partitions_are_a_doubt_and_no_answer(scripts: Scripts) -> None:
    """CROSSSLOT, which no call of ours asks for."""
    keys = [redis_keys.meta(0), redis_keys.holds(1, ""), redis_keys.deadlines(2)]

    with pytest.raises(LedgerUnavailable) as doubtful:
        await scripts.call("renew", keys, ["1", "b", "id", "1000", "0"])
    assert doubtful.value.reason == IN_DOUBT


async def test_a_silent_server_keeps_nobody_else_waiting(
    cluster: Cluster, client: ClusterClient, scripts: Scripts
) -> None:
    """Neither scripts nor the outbox: what the others have is read meanwhile."""
    await asyncio.gather(*(begin(scripts, partition) for partition in EVERY))
    for partition in EVERY:
        await client.xadd(redis_keys.outbox(partition), {"v": "?"})
    silent = cluster.servers[1]
    theirs = [p for p in EVERY if cluster.owner(p) is silent]
    others = [p for p in EVERY if p not in theirs]
    silent.engine.pause()
    try:
        stuck = [asyncio.create_task(begin(scripts, p)) for p in theirs]
        for _ in range(3):
            assert [await begin(scripts, p) for p in others] == [["EXISTS", 0]] * len(others)
        assert not any(task.done() for task in stuck)
        results = await asyncio.gather(*stuck, return_exceptions=True)
        read = await outbox.read(client, EVERY, 10)
    finally:
        silent.engine.resume()

    assert {getattr(each, "reason", None) for each in results} == {IN_DOUBT}
    assert [entry.partition for entry in read] == others
    assert [p for p in EVERY if scripts.steady_since(p) is None] == theirs


async def test_a_failed_pipeline_says_so(cluster: Cluster, client: ClusterClient) -> None:
    """Unless who asks wants what there is."""
    await client.hset(redis_keys.meta(3), "epoch", "1")
    pipeline = client.pipeline(transaction=False)
    pipeline.hget(redis_keys.meta(3), "epoch")
    pipeline.xlen(redis_keys.meta(3))
    with pytest.raises(Exception, match="WRONGTYPE"):
        await pipeline.execute()

    assert await client.hget(redis_keys.meta(3), "epoch") == "1"
    assert await client.publish(redis_keys.REVOKED_CHANNEL, "00") >= 0
    assert len(await client.time()) == 2


async def test_a_cluster_that_is_not_there_is_not_asked(tmp_path: Path) -> None:
    """Nothing was changed, and that is known."""
    client = connect("cluster://127.0.0.1:1,127.0.0.1:2")
    scripts = Scripts(client)

    with pytest.raises(LedgerUnavailable) as unreachable:
        await begin(scripts)
    with pytest.raises(LedgerUnavailable):
        await outbox.waiting(client)

    assert unreachable.value.reason == "unreachable"
    await scripts.close()
    await client.aclose()


async def test_a_master_that_is_none_any_more_is_left_for_the_one_that_is(
    tmp_path: Path,
) -> None:
    """READONLY: nothing ran, so the call goes once more, to wherever a new connection goes."""
    old, new = (start_valkey(tmp_path / name) for name in ("old", "new"))
    try:
        async with RedisDoor.to(old.url) as door, Redis.from_url(old.url) as admin:
            redis = connect(f"redis://localhost:{door.port}")
            scripts = Scripts(redis)
            assert await begin(scripts) == ["OK", 0]
            await admin.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]
            with pytest.raises(LedgerUnavailable) as refused:
                await begin(scripts, 1)
            door._socket = new.url.removeprefix("unix://")

            assert await begin(scripts, 1) == ["OK", 0]
            assert refused.value.reason == "refused"
            await scripts.close()
            await redis.aclose()
    finally:
        old.kill()
        new.kill()
