"""
A Redis Cluster: which server has each of our partitions, and pipelines that go to each apart.

A partition is one slot, so of the Cluster's 16,384 slots only 16 are known here. A server
that is away fails what was asked of it and nothing that was asked of the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, RedisError, TryAgainError

from storage import redis_keys
from storage.redis_url import Address

log = logging.getLogger(__name__)

# While servers fail they are asked for the new order of things no more often than this.
LOOK_EVERY_S = 0.2

SLOTS = tuple(key_slot(redis_keys.meta(p).encode()) for p in range(redis_keys.PARTITIONS))
_PARTITIONS_OF = {slot: p for p, slot in enumerate(SLOTS)}
_MISDIRECTED = (MovedError, AskError, TryAgainError)


class Owners:
    """
    The server of each partition, as far as is known.

    Args:
        client_of: Gives a client of one server.
        named: Servers that the settings name.
    """

    def __init__(self, client_of: Callable[[Address], Redis], named: Iterable[Address]) -> None:
        self._client_of = client_of
        self._named = tuple(named)
        self._of: dict[int, Address] = {}
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = -LOOK_EVERY_S
        self._asking: set[asyncio.Task[Any]] = set()

    def of(self, partition: int) -> Address | None:
        """Its server; None when no server is known to have it."""
        return self._of.get(partition)

    @property
    def all(self) -> frozenset[Address]:
        """The servers that have partitions."""
        return frozenset(self._of.values())

    def moved(self, slot: int, to: Address) -> None:
        """A server says that another one has this slot."""
        if slot in _PARTITIONS_OF:
            self._of[_PARTITIONS_OF[slot]] = to

    def doubt(self) -> asyncio.Task[None]:
        """Something went wrong: look again, in the background, though not too often."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        return self._looking

    async def look(self) -> None:
        """Ask the servers which of them has what; what nobody answers stays as it was."""
        await asyncio.wait([self.doubt()])

    async def close(self) -> None:
        """End what is being asked."""
        tasks = [*self._asking, *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        wait_s = self._looked_at + LOOK_EVERY_S - monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        self._looked_at = monotonic()
        # All at once: one that is away must not keep us from the others' answer.
        asked = {self._start(place) for place in {*self._of.values(), *self._named}}
        while asked:
            done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled() and (found := task.result()) is not None:
                    self._of = found
                    return
        log.warning("cluster_not_found", extra={"asked": len(self._named)})

    def _start(self, place: Address) -> asyncio.Task[dict[int, Address] | None]:
        task = asyncio.get_running_loop().create_task(self._ask(place))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return task

    async def _ask(self, place: Address) -> dict[int, Address] | None:
        """What a server says; None when it does not answer, or knows of no owner."""
        client: Any = self._client_of(place)
        try:
            said: list[list[Any]] = await client.execute_command("CLUSTER SLOTS")
        except (RedisError, OSError, TimeoutError):
            return None
        found = {}
        for first, last, (host, port, *_), *_replicas in said:
            for slot, partition in _PARTITIONS_OF.items():
                if int(first) <= slot <= int(last):
                    # A server that does not know its own address leaves the host out.
                    found[partition] = (host or place[0], int(port))
        return found or None


class ClusterClient(RedisCluster):
    """
    redis-py's client of a Cluster, with our own pipelines.

    redis-py's fail as a whole with one server, and close the connections to all of them.

    Attributes:
        owners: Which server has which partition.
    """

    def __init__(self, addresses: Sequence[Address], options: Mapping[str, Any]) -> None:
        named = [ClusterNode(host, port) for host, port in addresses]
        # A part of the Cluster that is away must not take the rest with it.
        super().__init__(startup_nodes=named, require_full_coverage=False, **options)
        self._options = dict(options)
        self._named = addresses[0]
        self._listened = 0
        self._clients: dict[Address, Redis] = {}
        self.owners = Owners(self.client_of, addresses)

    def client_of(self, server: Address) -> Redis:
        """A client of one server, made when it is first needed."""
        if server not in self._clients:
            host, port = server
            self._clients[server] = Redis(host=host, port=port, **self._options)
        return self._clients[server]

    async def servers(self) -> list[Redis]:
        """A client of each server that has partitions."""
        if not self.owners.all:
            await self.owners.look()
        return [self.client_of(server) for server in sorted(self.owners.all)]

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> Any:
        """A pipeline of commands that each name a key of ours; nothing makes it one change."""
        assert not transaction, "the partitions of a Cluster do not change together"
        return PipelineByServer(self, self.client_of(self._named))

    def pubsub(self, node: Any = None, host: Any = None, port: Any = None, **options: Any) -> Any:
        """Listen on one of the servers, each time another: a message comes to all of them."""
        servers = sorted(self.owners.all) or [self._named]
        self._listened += 1
        return self.client_of(servers[self._listened % len(servers)]).pubsub(**options)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """A command on a key of ours goes the way of a pipeline, any other redis-py's."""
        named = args[1] if len(args) > 1 else None
        if "target_nodes" in options or not isinstance(named, str) or named[:2] != "{p":
            return await super().execute_command(*args, **options)
        pipeline = self.pipeline()
        pipeline.execute_command(*args, **options)
        (answer,) = await pipeline.execute()
        return answer

    async def publish(self, channel: Any, message: Any, **options: Any) -> Any:
        """Tell one server, which tells the others."""
        return await self._first("publish", channel, message, **options)

    async def time(self, **options: Any) -> Any:
        """The clock of one of the servers."""
        return await self._first("time", **options)

    async def _first(self, name: str, *args: Any, **options: Any) -> Any:
        """What the first server says that answers."""
        failed: Exception = RedisError("no server of the Cluster is known")
        for server in await self.servers():
            try:
                return await getattr(server, name)(*args, **options)
            except (RedisError, OSError, TimeoutError) as error:
                failed = error
        raise failed

    async def aclose(self) -> None:
        """Close every connection. redis-py does so itself at times, and opens them again."""
        await self.owners.close()
        await super().aclose()
        for client in self._clients.values():
            await client.aclose()


class PipelineByServer(Pipeline):
    """Commands that are sent to each server in one piece, and answered in their order."""

    def __init__(self, cluster: ClusterClient, some: Redis) -> None:
        super().__init__(some.connection_pool, some.response_callbacks, False, None)
        self._cluster = cluster

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """
        Send what was collected.

        Args:
            raise_on_error: Raise the first failure, once every server has answered or
                failed; else each failure is an answer.
        """
        stack, self.command_stack = self.command_stack, []
        answers: list[Any] = [None] * len(stack)
        left = list(range(len(stack)))
        for _ in range(2):  # Whoever was sent to a wrong server is asked again at the right one.
            await self._ask(stack, left, answers)
            left = [i for i in left if isinstance(answers[i], _MISDIRECTED)]
            if not left:
                break
            await self._cluster.owners.look()
        failures = [each for each in answers if isinstance(each, BaseException)]
        if failures:
            self._cluster.owners.doubt()
            if raise_on_error:
                raise failures[0]
        return answers

    async def _ask(self, stack: Sequence[Any], some: Sequence[int], answers: list[Any]) -> None:
        owners = self._cluster.owners
        if any(owners.of(_partition(stack[i][0])) is None for i in some):
            await owners.look()
        groups: dict[Address | None, list[int]] = {}
        for i in some:
            groups.setdefault(owners.of(_partition(stack[i][0])), []).append(i)
        parts = [[stack[i] for i in group] for group in groups.values()]
        asked = map(self._ask_one, groups, parts)
        for group, replies in zip(groups.values(), await asyncio.gather(*asked), strict=True):
            for i, reply in zip(group, replies, strict=True):
                answers[i] = reply

    async def _ask_one(self, server: Address | None, part: Sequence[Any]) -> Sequence[Any]:
        if server is None:
            return [RedisError("no server of the Cluster has this partition")] * len(part)
        pipeline: Any = self._cluster.client_of(server).pipeline(transaction=False)
        pipeline.command_stack = list(part)
        try:
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as error:
            return [error] * len(part)
        return answers


def _partition(command: Sequence[Any]) -> int:
    key = command[3] if command[0] in ("EVAL", "EVALSHA") else command[1]
    return redis_keys.partition_in(key)
