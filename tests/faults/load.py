"""Load: callers of one business who go on whatever becomes of the gateway."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2

from tests.faults.processes import PROBE_S, Gateway
from tests.house import MODEL


class Load:
    """
    Callers of one business, each making one call after the other, JSON and streams mixed.

    A caller whose call was cut, or who finds nobody there, goes on with the next one once
    somebody is.

    Attributes:
        told: How many were answered with each status, or "cut".
    """

    def __init__(self, gateway: Gateway, key: str, *, seed: int = 0, **script: Any) -> None:
        """
        Args:
            script: What the stub is to do with every call, as in `latency_ms=500`.
        """
        self.told: Counter[str] = Counter()
        self._gateway = gateway
        self._key = key
        self._script = script
        self._random = random.Random(seed)

    async def makes(self, calls: int, *, at_once: int) -> None:
        """Make so many calls."""
        turns = iter(range(calls))
        limits = httpx2.Limits(max_connections=at_once)
        async with httpx2.AsyncClient(
            base_url=self._gateway.url, limits=limits, timeout=60
        ) as client:
            await asyncio.gather(*(self._call_on(client, turns) for _ in range(at_once)))

    async def streams(self) -> None:
        """One stream, at the price of its tokens, whose reply may be cut."""
        body, headers = self._call()
        headers.pop("X-Feature", None)
        with suppress(httpx2.TransportError):
            async with httpx2.AsyncClient(base_url=self._gateway.url, timeout=60) as client:
                call = body | {"stream": True}
                await client.post("/v1/chat/completions", json=call, headers=headers)

    async def _call_on(self, client: httpx2.AsyncClient, turns: Iterator[int]) -> None:
        for _ in turns:
            body, headers = self._call()
            while not await self._is_made(client, body, headers):
                await asyncio.sleep(PROBE_S)

    async def _is_made(
        self, client: httpx2.AsyncClient, body: dict[str, Any], headers: dict[str, str]
    ) -> bool:
        """Make a call, whatever becomes of it; False when nobody was there."""
        try:
            reply = await client.post("/v1/chat/completions", json=body, headers=headers)
        except httpx2.ConnectError:
            return False
        except httpx2.TransportError:
            self.told["cut"] += 1
        else:
            self.told[str(reply.status_code)] += 1
        return True

    def _call(self) -> tuple[dict[str, Any], dict[str, str]]:
        """One call: a stream or not, at a fixed price or not, of some length in time."""
        draw = self._random
        script = {
            "chunks": draw.randint(1, 30),
            "latency_ms": draw.randint(0, 120),
            "delay_ms": draw.randint(0, 8),
        } | self._script
        content = f"[[stub {json.dumps(script)}]] Hello"
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": content}],
            "stream": draw.random() < 0.5,
        }
        headers = {"Authorization": f"Bearer {self._key}"}
        if draw.random() < 0.3:
            headers["X-Feature"] = "idea"
        return body, headers
