"""
A site: what a gateway needs around it, and a gateway on it that may be killed and come back.

Redis, SQL and the stub OpenAI outlive the gateway. The stub keeps its bills in a file, so
what it billed is known whatever happened to those who called it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from redis.asyncio import Redis

from gateway.dev import stub_bills
from gateway.dev.stub_bills import Bill
from gateway.parts import tariff_of
from gateway.settings import Settings
from metering.money import Credits
from metering.rates import RateCard
from metering.tariff import Tariff
from metering.usage import Unit, Usage
from storage import businesses, keys, purchases, redis_keys
from storage.database import Database
from storage.keys import Scopes
from storage.scripts import connect
from tests.faults.processes import PROBE_S, Process, free_port
from tests.house import MODEL, OUR_KEY
from tests.laws.laws import check_stores, nothing_is_left
from tests.laws.seen import Seen

LEASE_S = 1
SWEEP_EVERY_S = 0.2

# A lease, the steady one that a gateway waits for after its start, a sweep, and the
# slowness of two busy cores.
FREE_AGAIN_WITHIN_S = 30.0

TOPPED_UP = Credits.parse("100000")


@dataclass
class Site:
    """Stores, a stub OpenAI and a gateway, each of them a process."""

    folder: Path
    environ: dict[str, str]
    redis: Redis
    database: Database
    openai: Process
    port: int
    gateway: Process | None = None
    kills: int = 0
    told: Counter[str] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        """Where the gateway listens, whenever it runs."""
        return f"http://127.0.0.1:{self.port}"

    async def starts(self) -> None:
        """Start the gateway, and wait until it is ready."""
        arguments = ("serve", "--port", str(self.port))
        log = self.folder / "gateway.log"
        self.gateway = Process("gateway", *arguments, environ=self.environ, log=log)
        await self.gateway.answers(f"{self.url}/readyz")

    def kills_gateway(self) -> None:
        """`kill -9`."""
        assert self.gateway is not None
        self.gateway.kill()
        self.kills += 1

    @property
    def bills(self) -> list[Bill]:
        """What the stub has billed."""
        return stub_bills.read(self.folder / "billed.jsonl")

    async def billed(self, count: int) -> None:
        """Wait until so many calls have been billed."""
        while len(self.bills) < count:
            await asyncio.sleep(PROBE_S / 10)

    async def held(self, count: int) -> None:
        """Wait until exactly so many holds are open."""
        while sum([await self.redis.zcard(_deadlines(p)) for p in _PARTITIONS]) != count:
            await asyncio.sleep(PROBE_S / 10)

    async def noted(self) -> None:
        """Wait until the cost so far of a call is noted in its hold."""
        metered = 0
        while not metered:
            await asyncio.sleep(PROBE_S)
            async for key in self.redis.scan_iter("*:holds:*"):
                for hold in await self.redis.hvals(key):
                    metered += int(hold.split("|")[1])

    def price_of(self, bill: Bill) -> Credits:
        """What a bill of OpenAI's is to be charged, worked out by hand."""
        usage = Usage(
            {
                Unit.INPUT: bill.usage["prompt_tokens"],
                Unit.OUTPUT: bill.usage["completion_tokens"],
            }
        )
        return self.tariff.charge(RateCard.load().rate(bill.model), usage, None, False).credits_used

    @property
    def tariff(self) -> Tariff:
        """What the gateway charges, by its settings."""
        return tariff_of(Settings.load(None, self.environ))

    async def quiet(self) -> None:
        """Wait until nothing is held and everything is in SQL; it must come to that by itself."""
        async with asyncio.timeout(FREE_AGAIN_WITHIN_S):
            await self.held(0)
            while sum([await self.redis.xlen(_outbox(p)) for p in _PARTITIONS]):
                await asyncio.sleep(PROBE_S)

    async def business(self) -> str:
        """A business with plenty of credits; gives its key."""
        at = datetime.now(UTC)
        async with self.database.write() as connection:
            made = await businesses.add(
                connection, name="Acme", owner_email="owner@example.com", at=at
            )
            scopes = Scopes(features=frozenset({"idea"}))
            _, key = await keys.issue(
                connection, business=made.id, name="test", scopes=scopes, at=at
            )
            await purchases.top_up(connection, business=made.id, credits=TOPPED_UP, at=at)
        return key

    async def obeys_the_laws(self) -> Seen:
        """Every law, and no forgotten key; gives what was seen."""
        seen = await check_stores(
            self.redis,
            self.database,
            tariff=self.tariff,
            card=RateCard.load(),
            bills=self.bills,
        )
        await nothing_is_left(self.redis)
        return seen


_PARTITIONS = range(redis_keys.PARTITIONS)
_deadlines, _outbox = redis_keys.deadlines, redis_keys.outbox


@asynccontextmanager
async def open_site(
    folder: Path, *, redis_url: str, records_url: str, **settings: str
) -> AsyncIterator[Site]:
    """
    A site whose gateway is not started yet.

    Args:
        settings: As in the environment, lower case: `features__idea__credits="2.50"`.
    """
    port, stub_port = free_port(), free_port()
    given = {
        "redis__url": redis_url,
        "sql__url": records_url,
        "openai__base_url": f"http://127.0.0.1:{stub_port}/v1",
        "openai__api_key": OUR_KEY,
        "holds__lease_s": str(LEASE_S),
        "holds__sweep_every_s": str(SWEEP_EVERY_S),
        **settings,
    }
    environ = {f"GATEWAY__{name.upper()}": value for name, value in given.items()}
    billed = folder / "billed.jsonl"
    arguments = ("--port", str(stub_port), "--billed", str(billed), "--api-key", OUR_KEY)
    log = folder / "stub.log"
    openai = Process("gateway.dev.stub_openai", *arguments, environ={}, log=log)
    database = Database.open(records_url)
    redis = connect(redis_url)
    site = Site(folder, environ, redis, database, openai, port)
    try:
        await openai.answers(f"http://127.0.0.1:{stub_port}/stub/health")
        yield site
    finally:
        if site.gateway is not None:
            site.gateway.kill()
        openai.kill()
        await redis.aclose()
        await database.close()


class Load:
    """
    Callers of one business, each making one call after the other, JSON and streams mixed.

    A caller whose call was cut, or who finds nobody there, goes on with the next one once
    somebody is.
    """

    def __init__(self, site: Site, key: str, *, seed: int) -> None:
        self._site = site
        self._key = key
        self._random = random.Random(seed)
        self._left = 0

    async def makes(self, calls: int, *, at_once: int) -> None:
        """Make so many calls."""
        self._left = calls
        limits = httpx2.Limits(max_connections=at_once)
        async with httpx2.AsyncClient(
            base_url=self._site.url, limits=limits, timeout=60
        ) as client:
            await asyncio.gather(*(self._call_on(client) for _ in range(at_once)))

    async def streams(self, **script: Any) -> None:
        """One stream, at the price of its tokens, whose reply may be cut."""
        body, headers = self._call(stream=True, **script)
        headers.pop("X-Feature", None)
        with suppress(httpx2.TransportError):
            async with httpx2.AsyncClient(base_url=self._site.url, timeout=60) as client:
                await client.post("/v1/chat/completions", json=body, headers=headers)

    async def _call_on(self, client: httpx2.AsyncClient) -> None:
        while self._left:
            self._left -= 1
            body, headers = self._call()
            try:
                reply = await client.post("/v1/chat/completions", json=body, headers=headers)
                self._site.told[str(reply.status_code)] += 1
            except httpx2.ConnectError:
                self._left += 1  # Nobody was there: the call was not made.
                await asyncio.sleep(PROBE_S)
            except httpx2.TransportError:
                self._site.told["cut"] += 1

    def _call(
        self, *, stream: bool | None = None, **script: Any
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """One call: a stream or not, at a fixed price or not, of some length in time."""
        draw = self._random
        script = {
            "chunks": draw.randint(1, 30),
            "latency_ms": draw.randint(0, 120),
            "delay_ms": draw.randint(0, 8),
        } | script
        content = f"[[stub {json.dumps(script)}]] Hello"
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": content}],
            "stream": draw.random() < 0.5 if stream is None else stream,
        }
        headers = {"Authorization": f"Bearer {self._key}"}
        if draw.random() < 0.3:
            headers["X-Feature"] = "idea"
        return body, headers
