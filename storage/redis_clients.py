"""
Clients of redis-py for one server, for a Cluster, and for the master that Sentinels name.

Scripts go another way (`scripts.py`), to the same servers; these do all the rest.
"""

from __future__ import annotations

from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from storage.redis_cluster import ClusterClient
from storage.redis_url import RedisUrl, parse

# Redis answers in well under a millisecond; with an fsync on a slow disk in tens of
# them. A second of silence means that it is stopped or out of reach.
ANSWER_WITHIN_S = 1.0

# Sentinels are asked one after the other: a dead one must leave time for the next.
SENTINEL_WITHIN_S = 0.25


class SentinelClient(Redis):
    """A client of the master; each connection is opened where the Sentinels say it is."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        await cast(SentinelConnectionPool, self.connection_pool).sentinel_manager.aclose()


def connect(url: str, *, answer_within_s: float = ANSWER_WITHIN_S) -> Redis:
    """
    A client for this software's Redis; nothing is sent yet.

    A Cluster's is no `Redis` by its type and has the same commands; its pipelines go to
    each server apart.

    The library's default of ten retries with growing pauses would keep a caller
    waiting for 4 to 40 seconds; one immediate retry is what a stale connection needs.

    Raises:
        ValueError: Such a URL names no Redis.
    """
    said = parse(url)
    options: dict[str, Any] = {
        "socket_timeout": answer_within_s,
        "socket_connect_timeout": answer_within_s,
        "retry": Retry(NoBackoff(), 1),
        "decode_responses": True,
        # What is no UTF-8 cannot have been written by us; it is buried, not crashed on.
        "encoding_errors": "backslashreplace",
        "protocol": 2,
    }
    if said.kind == "one":
        return Redis.from_url(said.plain, **options)
    options |= _spelled_out(said)
    if said.kind == "cluster":
        return cast(Redis, ClusterClient(said.addresses, options))
    return _of_sentinels(said, options)


def _spelled_out(said: RedisUrl) -> dict[str, Any]:
    """The options of the URL as arguments of a client."""
    found: dict[str, Any] = dict(parse_url(said.plain))
    for name in ("connection_class", "host", "port"):
        found.pop(name, None)
    return found | ({"ssl": True} if said.has_tls else {})


def _of_sentinels(said: RedisUrl, options: dict[str, Any]) -> Redis:
    of_tls = {name: value for name, value in options.items() if name.startswith("ssl")}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        list(said.addresses),
        sentinel_kwargs={
            "socket_timeout": SENTINEL_WITHIN_S,
            "socket_connect_timeout": SENTINEL_WITHIN_S,
            "retry": Retry(NoBackoff(), 0),
            "decode_responses": True,
            "protocol": 2,
            **of_tls,
            **dict(said.sentinel_options),
        },
    )
    client: Redis = sentinel.master_for(said.service, redis_class=SentinelClient, **options)
    return client
