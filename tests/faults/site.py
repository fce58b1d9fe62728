"""
A site: two gateways that may be killed, and what they need around them.

SQL and the stub OpenAI outlive the gateways, and Redis keeps every write on disk. The stub
keeps its bills in a file, so what it billed is known whatever happened to who asked it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from gateway.dev import stub_bills
from gateway.dev.stub_bills import Bill
from gateway.settings import Settings
from gateway.settings_tariff import tariff_of
from metering.money import Credits
from metering.rates import RateCard
from metering.tariff import Tariff
from metering.usage import Unit, Usage
from storage import businesses, keys, movements, purchases, redis_keys
from storage.database import Database
from storage.keys import Scopes
from storage.scripts import connect
from tests import engines
from tests.engine import Engine
from tests.faults.processes import PROBE_S, Gateway, Process, free_port
from tests.house import OUR_KEY
from tests.laws.laws import check_stores
from tests.laws.lifetimes import nothing_is_left
from tests.laws.seen import Seen

LEASE_S = 1
SWEEP_EVERY_S = 0.2

# For whatever must come to be by itself. The longest is a lease, the steady one that a
# gateway waits for after its start, and a sweep; the rest is for two busy cores.
WITHIN_S = 30.0


@dataclass
class Site:
    """
    Stores, a stub OpenAI and gateways, each of them a process.

    Attributes:
        gateway: Not started yet, like `another`.
        topped_up: What the business of this site was given so far.
    """

    folder: Path
    environ: dict[str, str]
    redis: Any
    database: Database
    openai: Process
    engine: Engine
    gateway: Gateway
    another: Gateway
    business: str = ""
    topped_up: Credits = Credits(0)

    def loses_redis(self) -> None:
        """`kill -9` of Redis, which is started again on what it has written."""
        start = {"valkey": engines.start_valkey, "redis": engines.start_redis}[self.engine.name]
        self.engine.kill()
        self.engine = start(self.engine.directory)

    @property
    def bills(self) -> list[Bill]:
        """What the stub has billed."""
        return stub_bills.read(self.folder / "billed.jsonl")

    async def billed(self, count: int) -> None:
        """Wait until so many calls have been billed."""

        async def are_billed() -> bool:
            return len(self.bills) >= count

        await self._until(are_billed)

    async def held(self, count: int) -> None:
        """Wait until exactly so many holds are open."""

        async def are_held() -> bool:
            return count == sum([await self.redis.zcard(_deadlines(p)) for p in _PARTITIONS])

        await self._until(are_held)

    async def noted(self) -> None:
        """Wait until the cost so far of a call is noted in its hold."""

        async def is_noted() -> bool:
            holds = [key async for key in self.redis.scan_iter("*:holds:*")]
            texts = [text for key in holds for text in await self.redis.hvals(key)]
            return any(int(text.split("|")[1]) > 0 for text in texts)

        await self._until(is_noted)

    async def quiet(self) -> None:
        """Wait until nothing is held and all is in SQL and in Redis; it must come by itself."""

        async def is_recorded() -> bool:
            return not sum([await self.redis.xlen(_outbox(p)) for p in _PARTITIONS])

        async def is_credited() -> bool:
            async with self.database.read() as connection:
                return not await movements.unapplied_businesses(connection, 1)

        await self.held(0)
        await self._until(is_recorded)
        await self._until(is_credited)

    async def _until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Look until it is so: other processes have no event that we could wait for."""
        deadline = monotonic() + WITHIN_S
        while not await is_so():
            assert monotonic() < deadline, (
                f"it did not come to that within {WITHIN_S:g} s; the log ends:\n"
                f"{self.gateway.last_words}"
            )
            await asyncio.sleep(PROBE_S / 4)

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

    async def opens_business(self) -> str:
        """Make the business of this site, with plenty of credits; gives its key."""
        at = datetime.now(UTC)
        async with self.database.write() as connection:
            made = await businesses.add(
                connection, name="Acme", owner_email="owner@example.com", at=at
            )
            scopes = Scopes(features=frozenset({"idea"}))
            _, key = await keys.issue(
                connection, business=made.id, name="test", scopes=scopes, at=at
            )
        self.business = made.id
        await self.tops_up("100000")
        return key

    async def tops_up(self, credits: str) -> None:
        """Write a top-up to SQL, as the command line does: a gateway brings it to Redis."""
        added, at = Credits.parse(credits), datetime.now(UTC)
        async with self.database.write() as connection:
            await purchases.top_up(connection, business=self.business, credits=added, at=at)
        self.topped_up += added

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
    folder: Path, redis_engine: Engine, records_url: str, **settings: str
) -> AsyncIterator[Site]:
    """
    A site whose gateways are not started yet.

    Args:
        settings: As in the environment, lower case: `features__idea__credits="2.50"`.
    """
    stub_port = free_port()
    given = {
        "redis__url": redis_engine.url,
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
    redis, database = connect(redis_engine.url), Database.open(records_url)
    one, another = (Gateway(name, environ=environ, folder=folder) for name in ("one", "another"))
    site = Site(folder, environ, redis, database, openai, redis_engine, one, another)
    try:
        await openai.answers(f"http://127.0.0.1:{stub_port}/stub/health")
        yield site
    finally:
        for process in (one, another):
            process.is_killed()
        openai.kill()
        site.engine.kill()
        await redis.aclose()
        await database.close()
