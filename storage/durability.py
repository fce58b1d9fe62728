"""Whether Redis keeps what it acknowledges."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from redis.exceptions import RedisError

from storage.redis_cluster import ClusterClient

log = logging.getLogger(__name__)


async def warn_unless_durable(redis: Any) -> None:
    """
    Say loudly when Redis may forget an acknowledged write, or evict one.

    A Redis whose user may not ask for its configuration is believed.
    """
    if isinstance(redis, ClusterClient):
        await asyncio.gather(*(_warn_unless_durable(each) for each in await redis.servers()))
    else:
        await _warn_unless_durable(redis)


async def _warn_unless_durable(redis: Any) -> None:
    try:
        found = await redis.config_get("appendonly", "appendfsync", "maxmemory-policy")
    except (RedisError, OSError, TimeoutError):
        return
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    wrong = {name: found[name] for name in wanted if found.get(name, wanted[name]) != wanted[name]}
    if wrong:
        log.warning("redis_not_durable", extra={"found": wrong, "wanted": wanted})
