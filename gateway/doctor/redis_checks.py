"""Whether Redis can be trusted with money: its version, what it keeps, what it evicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from redis.exceptions import AuthenticationError, RedisError

from gateway.doctor.finding import Finding, ok, unsure, wrong
from storage.redis_cluster import ClusterClient

REDIS_LEAST = (7, 0)
VALKEY_LEAST = (7, 2)

Said = Mapping[str, Any]

FSYNC = {"aof_always": ("always",), "aof_everysec": ("everysec", "always")}
"""What each durability asks of appendfsync; for the others Redis itself is asked at the end."""


async def check_redis(redis: Any, *, durability: str) -> list[Finding]:
    """
    Everything about Redis; of a Cluster, about each of its servers.

    Args:
        durability: `redis.durability` of the settings.
    """
    if not isinstance(redis, ClusterClient):
        return await _of_server(redis, durability)
    servers = await redis.servers()
    if not servers:
        return [wrong("redis", "no server of the Cluster answers with all the slots",
                      "start it, or correct redis.url")]  # fmt: skip
    found = []
    for server in servers:
        at = server.connection_pool.connection_kwargs
        for one in await _of_server(server, durability):
            found.append(replace(one, said=f"{at['host']}:{at['port']}: {one.said}"))
    return found


async def _of_server(redis: Any, durability: str) -> list[Finding]:
    try:
        await redis.ping()
    except AuthenticationError as error:
        return [wrong("redis", f"Redis does not let us in: {_words(error)}",
                      "correct user and password in redis.url")]  # fmt: skip
    except (RedisError, OSError) as error:
        return [wrong("redis", f"Redis does not answer: {_words(error)}",
                      "start it, or correct redis.url")]  # fmt: skip
    info = await _asked(redis.info())
    config = await _asked(redis.config_get("appendonly", "appendfsync", "maxmemory-policy"))
    return [ok("redis", "Redis answers"), *judged(info, config, durability=durability)]


async def _asked(answer: Any) -> Said | None:
    """What a command answers; None when this user may not ask it."""
    try:
        found: Said = await answer
    except (RedisError, OSError):
        return None
    return found


def judged(info: Said | None, config: Said | None, *, durability: str) -> Iterator[Finding]:
    """
    What INFO and CONFIG GET say; either may be denied by an ACL, or by who hosts the Redis.

    Args:
        info, config: None where we may not ask.
    """
    info = info or {}
    config = config or {}
    yield _version(info)
    yield _eviction(config.get("maxmemory-policy") or info.get("maxmemory_policy"))
    appendonly = config.get("appendonly") or {0: "no", 1: "yes"}.get(info.get("aof_enabled", -1))
    yield _appendonly(appendonly)
    if appendonly == "yes":
        yield _fsync(config.get("appendfsync"), durability)
    if info.get("aof_last_write_status", "ok") != "ok":
        yield wrong("redis.aof_write", "Redis could not write its append-only file",
                    "look at its disk and its log; it refuses writes meanwhile")  # fmt: skip


def _version(info: Said) -> Finding:
    name = "Valkey" if "valkey_version" in info else "Redis"
    # Every Valkey says that it is Redis 7.2.4; its own version stands elsewhere.
    version = str(info.get("valkey_version") or info.get("redis_version") or "")
    if not version:
        return _cannot_tell("redis.version", "which version Redis is", "INFO")
    least = VALKEY_LEAST if name == "Valkey" else REDIS_LEAST
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < least:
        needed = ".".join(map(str, least))
        return wrong("redis.version", f"{name} {version} is too old",
                     f"upgrade to {name} {needed} or newer")  # fmt: skip
    return ok("redis.version", f"{name} {version}")


def _eviction(policy: str | None) -> Finding:
    if policy is None:
        return _cannot_tell("redis.eviction", "whether Redis evicts keys", "CONFIG GET")
    if policy != "noeviction":
        return wrong(
            "redis.eviction",
            f"maxmemory-policy is {policy}: balances may be evicted",
            "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf",
        )
    return ok("redis.eviction", "maxmemory-policy is noeviction")


def _appendonly(found: str | None) -> Finding:
    if found is None:
        return _cannot_tell("redis.aof", "whether Redis keeps an append-only file", "CONFIG GET")
    if found != "yes":
        return wrong(
            "redis.aof",
            "Redis keeps no append-only file: what it acknowledged is lost when it ends",
            "CONFIG SET appendonly yes, wait for its rewrite, then write it into redis.conf "
            "(docs/operating.md)",
        )
    return ok("redis.aof", "the append-only file is on")


def _fsync(found: str | None, durability: str) -> Finding:
    wanted = FSYNC.get(durability)
    if wanted is None:
        return ok("redis.fsync", f"appendfsync is {found}; {durability} waits for the file itself")
    if found is None:
        return _cannot_tell("redis.fsync", "when Redis syncs its file", "CONFIG GET")
    if found not in wanted:
        return wrong("redis.fsync", f"appendfsync is {found}; redis.durability says {durability}",
                     f"CONFIG SET appendfsync {wanted[0]}, and the same in redis.conf")  # fmt: skip
    return ok("redis.fsync", f"appendfsync is {found}, as redis.durability says")


def _cannot_tell(check: str, what: str, command: str) -> Finding:
    return unsure(check, f"cannot tell {what}: this user may not ask {command}",
                  f"look at it yourself, or allow {command} in the ACL")  # fmt: skip


def _words(error: Exception) -> str:
    """An error without the URL, in which a password may stand."""
    text = str(error).partition("://")[0][:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
