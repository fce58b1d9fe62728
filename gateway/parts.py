"""The parts of the gateway and how each is built from the settings and those before it."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.types import ASGIApp

from gateway.access_log import AccessLog
from gateway.admin.changes import BusinessDefaults
from gateway.admin.routes import build_admin
from gateway.authenticate import Authenticate, Find
from gateway.background.backlog import Backlog
from gateway.background.crediting import Crediting
from gateway.background.recorder import Recorder
from gateway.background.revocations import Revocations
from gateway.background.settler import Settler
from gateway.background.sweeper import Sweeper
from gateway.dev.embedded import EmbeddedStore
from gateway.doors import Doors
from gateway.health import Health
from gateway.holding import Holding
from gateway.open_calls import OpenCalls
from gateway.portal.credits import credits_of
from gateway.portal.models import list_models, show_model
from gateway.price_book import PriceBook
from gateway.proxy import Proxy
from gateway.quote import Quotes
from gateway.relay import Drains
from gateway.settings import Settings
from gateway.upstream import Upstream
from metering.meters.chat_completions import ChatCompletions
from metering.rates import RateCard
from metering.tariff import FeatureRule, ModelRule, Tariff
from storage import keys, schema
from storage.accounts import Accounts
from storage.balances import Balances
from storage.database import Database
from storage.durability import warn_unless_durable
from storage.keys import KeyHolder
from storage.partitions import Partitions
from storage.redis_keys import REVOKED_CHANNEL
from storage.scripts import Scripts, connect


@dataclass(frozen=True)
class Stores:
    redis: Redis
    database: Database


@dataclass(frozen=True)
class Ledger:
    scripts: Scripts
    partitions: Partitions
    balances: Balances
    accounts: Accounts


@dataclass(frozen=True)
class Pricing:
    book: PriceBook
    tariff: Tariff
    quotes: Quotes


@dataclass(frozen=True)
class Loops:
    open_calls: OpenCalls
    sweeper: Sweeper
    recorder: Recorder
    crediting: Crediting
    settler: Settler
    backlog: Backlog
    prices: PriceBook
    revocations: Revocations
    authenticate: Authenticate


@dataclass(frozen=True)
class Parts:
    stores: Stores
    ledger: Ledger
    pricing: Pricing
    loops: Loops
    doors: Doors
    admin: ASGIApp


async def open_stores(stack: AsyncExitStack, settings: Settings, data_dir: Path | None) -> Stores:
    url = _secret(settings.redis.url)
    if settings.redis.embedded:
        assert data_dir is not None, "an embedded Valkey needs a data directory"
        store = await stack.enter_async_context(EmbeddedStore.running(data_dir))
        url = store.url
    redis = connect(url)
    stack.push_async_callback(redis.aclose)
    if settings.redis.durability == "aof_always":
        await warn_unless_durable(redis)
    database = Database.open(_secret(settings.sql.url))
    stack.push_async_callback(database.close)
    await schema.check(database)
    return Stores(redis, database)


async def open_ledger(stack: AsyncExitStack, stores: Stores) -> Ledger:
    scripts = Scripts(stores.redis)
    stack.push_async_callback(scripts.close)
    partitions = Partitions(stores.redis, scripts, stores.database)
    await partitions.begin()
    balances = Balances(stores.redis, scripts, partitions)
    return Ledger(scripts, partitions, balances, Accounts(stores.database, balances, partitions))


async def open_pricing(settings: Settings, database: Database) -> Pricing:
    tariff = tariff_of(settings)
    shipped = RateCard.load()
    tariff.check(shipped)
    book = PriceBook(shipped, database, tariff.check)
    await book.refresh()
    quotes = Quotes(
        card=book.card,
        tariff=tariff,
        meters={"chat.completions": ChatCompletions()},
        default_max_output_tokens=settings.credits.default_max_output_tokens,
        min_output_tokens=settings.credits.min_output_tokens,
        may_fit=settings.credits.fit == "affordable",
    )
    return Pricing(book, tariff, quotes)


def tariff_of(settings: Settings) -> Tariff:
    """[credits], [features] and [models] as the rules by which a cost becomes credits."""
    features = {
        name: FeatureRule(
            credits=feature.credits,
            multiplier=feature.multiplier,
            models=frozenset(feature.models),
            max_input_tokens=feature.max_input_tokens,
            max_output_tokens=feature.max_output_tokens,
            max_n=feature.max_n,
            allow_loss=feature.allow_loss,
        )
        for name, feature in settings.features.items()
    }
    models = {
        name: ModelRule(
            credits_per_usd=model.credits_per_usd,
            multiplier=model.multiplier,
            allowed=model.allowed,
        )
        for name, model in settings.models.items()
    }
    return Tariff(
        credits_per_usd=settings.credits.credits_per_usd,
        markup=settings.credits.markup,
        minimum=settings.credits.minimum,
        features=features,
        models=models,
    )


def make_loops(settings: Settings, stores: Stores, ledger: Ledger, book: PriceBook) -> Loops:
    lease_s = settings.holds.lease_s
    settler = Settler(ledger.balances, ledger.accounts, stores.database)
    authenticate = Authenticate(_finder(stores.database))
    return Loops(
        open_calls=OpenCalls(ledger.balances, lease_s=lease_s),
        sweeper=Sweeper(
            ledger.balances,
            ledger.partitions,
            ledger.scripts,
            lease_s=lease_s,
            every_s=settings.holds.sweep_every_s,
        ),
        recorder=Recorder(
            stores.database,
            stores.redis,
            every_s=settings.recorder.every_ms / 1000,
            batch=settings.recorder.batch,
            on_loss=ledger.partitions.freeze,
        ),
        crediting=Crediting(stores.database, ledger.balances, ledger.accounts),
        settler=settler,
        backlog=Backlog(
            stores.redis,
            lambda: settler.backlog_bytes,
            most_bytes=settings.recorder.backlog_max_bytes,
        ),
        prices=book,
        revocations=Revocations(stores.redis, authenticate),
        authenticate=authenticate,
    )


def make_main_path(
    stack: AsyncExitStack, settings: Settings, ledger: Ledger, pricing: Pricing, loops: Loops
) -> Proxy:
    openai = settings.openai
    upstream = Upstream(
        openai.base_url,
        _secret(openai.api_key),
        connect_timeout_s=openai.connect_timeout_s,
        first_byte_timeout_s=openai.first_byte_timeout_s,
        total_timeout_s=openai.total_timeout_s,
        max_connections=openai.max_connections,
    )
    stack.push_async_callback(upstream.close)
    access_log = AccessLog(sys.stdout.buffer)
    stack.callback(access_log.flush)
    return Proxy(
        authenticate=loops.authenticate,
        quotes=pricing.quotes,
        holding=Holding(
            balances=ledger.balances,
            accounts=ledger.accounts,
            quotes=pricing.quotes,
            settler=loops.settler,
            lease_s=settings.holds.lease_s,
        ),
        upstream=upstream,
        settler=loops.settler,
        open_calls=loops.open_calls,
        drains=Drains(within_s=openai.drain_timeout_s, most=openai.drains_max),
        access_log=access_log,
        admits=loops.backlog.admits,
        body_max_bytes=settings.server.body_max_bytes,
        out_of_credits_status=settings.credits.out_of_credits_status,
    )


def make_doors(
    settings: Settings,
    stores: Stores,
    ledger: Ledger,
    pricing: Pricing,
    loops: Loops,
    proxy: Proxy,
) -> Parts:
    async def credits_now(holder: KeyHolder) -> Any:
        return await credits_of(holder.business, balances=ledger.balances, accounts=ledger.accounts)

    async def models(holder: KeyHolder) -> Any:
        return list_models(holder, card=pricing.book.card(), tariff=pricing.tariff)

    async def model(name: str, holder: KeyHolder) -> Any:
        return show_model(name, holder, card=pricing.book.card(), tariff=pricing.tariff)

    async def announce(digest: bytes) -> None:
        await ledger.partitions.asking(stores.redis.publish(REVOKED_CHANNEL, digest.hex()))

    admin = build_admin(
        database=stores.database,
        balances=ledger.balances,
        crediting=loops.crediting,
        token_digest=settings.admin.token_digest,
        announce_revocation=announce,
        clock=lambda: datetime.now(UTC),
        business_defaults=BusinessDefaults(
            settings.credits.low_balance_threshold, settings.credits.expires_after_months
        ),
    )
    doors = Doors(
        proxy=proxy,
        authenticate=loops.authenticate,
        own={"/v1/credits": credits_now, "/v1/models": models},
        show_model=model,
        admin=None if settings.admin.port else admin,
        others=Starlette(routes=Health(stores.database, ledger.partitions).routes()),
        allowed_hosts=frozenset(settings.server.allowed_hosts),
    )
    return Parts(stores, ledger, pricing, loops, doors, admin)


def _secret(value: Any) -> str:
    assert value is not None, "settings that are needed were checked before the start"
    text: str = value.get_secret_value()
    return text


def _finder(database: Database) -> Find:
    async def find(digests: list[bytes]) -> dict[bytes, KeyHolder]:
        async with database.read() as connection:
            return await keys.find_all(connection, digests)

    return find
