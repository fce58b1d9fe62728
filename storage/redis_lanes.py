"""
Lanes: which server a script call goes to, on one Redis and on a Cluster.

A Cluster moves partitions between its servers. Whoever answers that a partition is
elsewhere has changed nothing, so the call is sent there, under the same id; when that
does not end within the time of an answer, it is in doubt and asked for again by its caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from hiredis import ReplyError
from redis.asyncio import Redis

from storage.errors import IN_DOUBT, LedgerUnavailable
from storage.redis_cluster import ClusterClient
from storage.redis_keys import partition_in
from storage.redis_lane import Asked, Lane
from storage.redis_url import Address

# A slot that is being moved, or a server that is being replaced, is asked again after it.
AGAIN_S = 0.02


class Lanes(Protocol):
    """Where script calls go."""

    def steady(self, partition: int) -> float | None: ...

    def call(self, asked: Asked) -> None: ...

    async def close(self) -> None: ...


def lanes_to(
    redis: Redis,
    *,
    answer_within_s: float,
    on_answered: Callable[[int, float], None],
    on_failed: Callable[[int], None],
) -> Lanes:
    """The lane to one Redis, or those to the servers of a Cluster."""
    to = ClusterLanes if isinstance(redis, ClusterClient) else Lane
    return to(
        redis,
        answer_within_s=answer_within_s,
        on_answered=on_answered,
        on_failed=on_failed,
    )


class ClusterLanes:
    """A lane to each server that has a partition."""

    def __init__(
        self,
        cluster: ClusterClient,
        *,
        answer_within_s: float,
        on_answered: Callable[[int, float], None],
        on_failed: Callable[[int], None],
    ) -> None:
        self._cluster = cluster
        self._on_answered = on_answered
        self._on_failed = on_failed
        self._owners = cluster.owners
        self._answer_within_s = answer_within_s
        self._lanes: dict[Address, Lane] = {}
        self._finding: set[asyncio.Task[None]] = set()

    def steady(self, partition: int) -> float | None:
        """Since when the server of a partition has answered; None while it does not."""
        server = self._owners.of(partition)
        lane = None if server is None else self._lanes.get(server)
        return None if lane is None else lane.steady_since

    def call(self, asked: Asked) -> None:
        server = self._owners.of(partition_in(asked.keys[0]))
        if server is None:
            task = asyncio.get_running_loop().create_task(self._find(asked))
            self._finding.add(task)
            task.add_done_callback(self._finding.discard)
        else:
            self._lane(server).call(asked)

    async def close(self) -> None:
        while self._finding:
            await asyncio.wait(self._finding)
        await _closed(self._lanes.values())

    def _lane(self, server: Address) -> Lane:
        lane = self._lanes.get(server)
        if lane is None:
            lane = self._lanes[server] = Lane(
                self._cluster.client_of(server),
                answer_within_s=self._answer_within_s,
                on_redirect=lambda asked, error: self._redirected(server, asked, error),
                on_answered=self._on_answered,
                on_failed=self._failed,
            )
        return lane

    def _failed(self, scripts: int) -> None:
        self._owners.doubt()
        self._on_failed(scripts)

    async def _find(self, asked: Asked) -> None:
        partition = partition_in(asked.keys[0])
        await self._owners.look()
        server = self._owners.of(partition)
        if server is not None:
            self._lane(server).call(asked)
        elif not asked.answer.done():
            asked.answer.set_exception(
                LedgerUnavailable(
                    f"no server of the Cluster has partition {partition}; nothing was changed",
                    reason="unreachable",
                )
            )

    def _redirected(self, server: Address, asked: Asked, error: ReplyError) -> bool:
        """A server has not run a call; False when that is not for being the wrong one."""
        word, _, rest = str(error).partition(" ")
        if word not in ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "CROSSSLOT"):
            return False
        if asked.answer.done():
            return True
        now = asyncio.get_running_loop().time()
        pause_s = AGAIN_S
        if asked.since is None:
            asked.since = now
            pause_s = 0 if word == "MOVED" else AGAIN_S
        if word == "CROSSSLOT" or now - asked.since > self._answer_within_s:
            asked.answer.set_exception(_misdirected(word))
        elif word == "ASK":
            self._lane(_place(rest, server)).call_asking(asked)
        else:
            if word == "MOVED":
                self._owners.moved(int(rest.partition(" ")[0]), _place(rest, server))
            # One slot that has moved is seldom alone.
            self._owners.doubt()
            asyncio.get_running_loop().call_later(pause_s, self.call, asked)
        return True


async def _closed(lanes: Iterable[Lane]) -> None:
    await asyncio.gather(*(lane.close() for lane in lanes))


def _place(words: str, said_by: Address) -> Address:
    """The address in `<slot> <host>:<port>`; without a host it is that of who said it."""
    host, _, port = words.partition(" ")[2].rpartition(":")
    return host or said_by[0], int(port)


def _misdirected(word: str) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"the Redis Cluster is changing ({word}); the change is asked for again by its id",
        reason=IN_DOUBT,
    )
