"""
The whole house for a test: a gateway on a real socket, a stub OpenAI, Redis and SQL.

`House` runs the gateway in this process, so a test can wait for what happens instead of
sleeping; `Acme` is a business of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
from sqlalchemy import text

from gateway.app import Gateway
from gateway.dev.stub_bills import Bill
from gateway.dev.stub_openai import StubOpenAI
from gateway.parts import Parts
from gateway.server import Server, config, listen
from gateway.settings import Settings
from metering.money import Credits
from metering.rates import RateCard
from metering.tariff import Charge
from metering.usage import Unit, Usage
from storage import businesses, keys, purchases, redis_keys, transactions
from storage.balances import Balance
from storage.database import Database
from storage.keys import Scopes
from storage.transactions import Transaction

MODEL = "gpt-5.4-mini"
OUR_KEY = "sk-upstream-0123456789abcdef"
ADMIN_TOKEN = "an-admin-token-of-enough-length"


@dataclass
class Acme:
    """A business of the house, with one key."""

    house: House
    id: str
    key: str
    topped_up: Credits

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    async def balance(self) -> Balance:
        """Total, held, available, in Redis."""
        ledger = self.house.parts.ledger
        return await ledger.accounts.opened(self.id, lambda: ledger.balances.read(self.id))

    async def held(self) -> Credits:
        return (await self.balance()).held

    async def available(self) -> Credits:
        return (await self.balance()).available

    async def transactions(self) -> list[Transaction]:
        """The rows in SQL, the oldest first, once everything has arrived there."""
        await self.house.quiet()
        async with self.house.database.read() as connection:
            page = await transactions.page(connection, self.id, limit=1000)
        return sorted(page, key=lambda row: row.seq or 0)

    async def recorded(self) -> Credits:
        """The balance in SQL, once everything has arrived there."""
        await self.house.quiet()
        async with self.house.database.read() as connection:
            return (await businesses.ledger_row(connection, self.id)).balance


class House:
    """A running gateway and everything around it."""

    def __init__(self, url: str, parts: Parts, openai: StubOpenAI, client: httpx2.AsyncClient):
        self.url = url
        self.parts = parts
        self.openai = openai
        self.client = client
        self.database: Database = parts.stores.database

    async def business(
        self, credits: str = "50.00", *, name: str = "Acme", features: tuple[str, ...] = ()
    ) -> Acme:
        """A business with a key and so many credits, topped up by an admin."""
        at = datetime.now(UTC)
        scopes = Scopes(features=frozenset(features))
        async with self.database.write() as connection:
            made = await businesses.add(
                connection, name=name, owner_email="owner@example.com", at=at
            )
            _, key = await keys.issue(
                connection, business=made.id, name="test", scopes=scopes, at=at
            )
        acme = Acme(self, made.id, key, Credits(0))
        if Credits.parse(credits):
            await self.top_up(acme, credits)
        return acme

    async def top_up(self, acme: Acme, credits: str, *, bonus: str = "0.00") -> None:
        """What the admin endpoint does: SQL first, then Redis."""
        at = datetime.now(UTC)
        added, extra = Credits.parse(credits), Credits.parse(bonus)
        async with self.database.write() as connection:
            await purchases.top_up(
                connection,
                business=acme.id,
                credits=added,
                bonus=extra,
                amount_paid_minor=0,
                currency="GHS",
                provider="admin",
                reference=f"{acme.id}-{at.timestamp()}",
                method="admin_grant",
                user="admin",
                note=None,
                package=None,
                at=at,
            )
        await self.parts.loops.crediting.apply(acme.id)
        acme.topped_up = acme.topped_up + added + extra

    async def chat(
        self, acme: Acme, *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> httpx2.Response:
        """One chat completion; its whole reply, streamed or not."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]} | fields
        return await self.client.post(
            "/v1/chat/completions", json=body, headers={**acme.headers, **(headers or {})}
        )

    def stream(self, acme: Acme, **fields: Any) -> AbstractAsyncContextManager[httpx2.Response]:
        """A streamed chat completion whose reply is read as it comes."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        return self.client.stream(
            "POST", "/v1/chat/completions", json=body | fields, headers=acme.headers
        )

    async def chat_left_after(self, acme: Acme, events: int, **fields: Any) -> None:
        """A streamed chat completion whose caller hangs up after so many events."""
        async with self.stream(acme, **fields) as reply:
            seen = 0
            async for line in reply.aiter_lines():
                seen += line.startswith("data:")
                if seen >= events:
                    break

    async def quiet(self) -> None:
        """Wait until no call runs, every settle is answered and everything is in SQL."""
        loops = self.parts.loops
        while len(loops.open_calls) or loops.settler.unanswered:
            await asyncio.sleep(0.001)
        while await loops.recorder.record_once():
            pass

    async def keys_in_redis(self) -> set[str]:
        """Every key that is left, without those that live for ever."""
        left = {key async for key in self.parts.stores.redis.scan_iter()}
        for partition in range(redis_keys.PARTITIONS):
            left.discard(redis_keys.meta(partition))
        return {key for key in left if key.split(":")[1] not in ("account", "answer", "lease")}

    async def scalar(self, sql: str, **given: Any) -> Any:
        async with self.database.read() as connection:
            return (await connection.execute(text(sql), given)).scalar_one()

    def price_of(self, bill: Bill) -> Charge:
        """What a bill of OpenAI's is to be charged, worked out by hand."""
        if bill.endpoint != "chat.completions":
            rate = self.parts.pricing.book.card().rate(bill.model)
            used = Usage.from_names(bill.units)
            return self.parts.pricing.tariff.charge(rate, used, None, False)
        usage = bill.usage
        details = usage.get("prompt_tokens_details") or {}
        cached, written = details.get("cached_tokens", 0), details.get("cache_write_tokens", 0)
        counted = Usage(
            {
                Unit.INPUT: usage["prompt_tokens"] - cached - written,
                Unit.CACHED_INPUT: cached,
                Unit.CACHE_WRITE_30M: written,
                Unit.OUTPUT: usage["completion_tokens"],
            }
        )
        rate = RateCard.load().rate(bill.model)
        return self.parts.pricing.tariff.charge(rate, counted, None, False)


@asynccontextmanager
async def open_house(*, redis_url: str, records_url: str, **settings: str) -> AsyncIterator[House]:
    """
    A house on these engines.

    Args:
        settings: As in the environment, lower case: `features__idea__credits="2.50"`.
    """
    async with StubOpenAI.serving(api_key=OUR_KEY) as openai:
        given = {
            "GATEWAY__REDIS__URL": redis_url,
            "GATEWAY__SQL__URL": records_url,
            "GATEWAY__OPENAI__BASE_URL": openai.base_url,
            "GATEWAY__OPENAI__API_KEY": OUR_KEY,
            "GATEWAY__ADMIN__TOKEN": ADMIN_TOKEN,
            **{f"GATEWAY__{name.upper()}": value for name, value in settings.items()},
        }
        gateway = Gateway(Settings.load(None, given))
        async with gateway.running() as parts, _listening(gateway) as url:
            limits = httpx2.Limits(max_connections=600)
            async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
                yield House(url, parts, openai, client)


@asynccontextmanager
async def _listening(gateway: Gateway) -> AsyncIterator[str]:
    listener = listen("127.0.0.1", 0)
    server = Server(config(gateway))
    # Its serve() would take the test runner's signals for its own.
    serving = asyncio.ensure_future(server._serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.001)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving
