"""Hears of revoked keys, so that they are refused at once and not after the memory's seconds."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from redis.exceptions import RedisError

from gateway.authenticate import Authenticate
from storage.redis_keys import REVOKED_CHANNEL

log = logging.getLogger(__name__)

LISTEN_S = 30.0  # A silent channel is asked again; nothing is lost in between.
AGAIN_S = 1.0


class Revocations:
    """Listens on the channel of revoked keys."""

    def __init__(self, redis: Any, authenticate: Authenticate) -> None:
        self._redis = redis
        self._authenticate = authenticate

    async def run(self) -> None:
        """Listen until cancelled. What is missed meanwhile is found by the key's short memory."""
        while True:
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("revocations_not_heard", extra={"error": type(error).__name__})
            await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(REVOKED_CHANNEL)
            while True:
                message = await channel.get_message(timeout=LISTEN_S)
                if message is not None:
                    self._forget(message["data"])

    def _forget(self, digest: str) -> None:
        try:
            self._authenticate.forget(bytes.fromhex(digest))
        except ValueError:
            log.error("revocation_not_understood")
