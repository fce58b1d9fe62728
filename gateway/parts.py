"""The parts of the gateway and how each is built from the settings and those before it."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.types import ASGIApp

from gateway.access_log import AccessLog
from gateway.admin.changes import BusinessDefaults
from gateway.admin.door import Door
from gateway.admin.routes import build_admin
from gateway.doors import Doors
from gateway.endpoints import METERS
from gateway.free_rates import FreeRates
from gateway.gauges import watch
from gateway.health import Health
from gateway.holding import Holding
from gateway.intake import Intake
from gateway.job_parts import make_jobs, watch_objects
from gateway.jobs import Jobs
from gateway.loops import Loops
from gateway.object_calls import ObjectCalls
from gateway.owning import Owning
from gateway.payments.doors import PaymentDoors
from gateway.portal.buying import PortalBuying
from gateway.portal.routes import Portal
from gateway.price_book import PriceBook
from gateway.proxy import Proxy
from gateway.quote import Quotes
from gateway.relay import Drains
from gateway.replays import Replays
from gateway.scrape import Beside, Scrape
from gateway.selling import Selling
from gateway.settings import Settings
from gateway.settings_tariff import tariff_of
from gateway.stores import Ledger, Stores, secret
from gateway.tool_intake import METERS_OF_TOOLS, ToolIntake
from gateway.upstream import Upstream
from gateway.upstream_socket import UpstreamSockets
from gateway.upstreams import Upstreams
from gateway.ws_calls import SocketCalls
from gateway.ws_door import Sockets
from gateway.ws_protocol import FRAME_MOST_BYTES
from metering.rates import RateCard
from metering.tariff import Tariff
from storage.calls import Calls
from storage.database import Database
from storage.limits import Limits
from storage.redis_keys import REVOKED_CHANNEL
from storage.replays import Replays as ReplayStore


@dataclass(frozen=True)
class Pricing:
    book: PriceBook
    tariff: Tariff
    quotes: Quotes


@dataclass(frozen=True)
class Parts:
    stores: Stores
    ledger: Ledger
    pricing: Pricing
    loops: Loops
    doors: Doors
    admin: ASGIApp
    jobs: Jobs
    selling: Selling


@dataclass(frozen=True)
class MainPath:
    """What serves calls; `tools` those that are billed by the use, `object_calls` free ones."""

    intake: Intake
    proxy: Proxy
    tools: Proxy
    object_calls: ObjectCalls
    sockets: Sockets
    jobs: Jobs


async def open_pricing(settings: Settings, database: Database) -> Pricing:
    tariff = tariff_of(settings)
    shipped = RateCard.load()
    tariff.check(shipped)
    book = PriceBook(shipped, database, tariff.check)
    await book.refresh()
    quotes = Quotes(
        card=book.card,
        tariff=tariff,
        meters={**METERS, **METERS_OF_TOOLS},
        default_max_output_tokens=settings.credits.default_max_output_tokens,
        min_output_tokens=settings.credits.min_output_tokens,
        may_fit=settings.credits.fit == "affordable",
    )
    return Pricing(book, tariff, quotes)


def make_upstreams(settings: Settings) -> Upstreams:
    openai = settings.openai

    def upstream(base_url: str, api_key: str) -> Upstream:
        return Upstream(
            base_url,
            api_key,
            connect_timeout_s=openai.connect_timeout_s,
            first_byte_timeout_s=openai.first_byte_timeout_s,
            total_timeout_s=openai.total_timeout_s,
            max_connections=openai.max_connections,
        )

    own = {
        name: upstream(section.base_url or openai.base_url, secret(section.api_key))
        for name, section in settings.upstreams.items()
    }
    return Upstreams(upstream(openai.base_url, secret(openai.api_key)), own)


def make_main_path(
    stack: AsyncExitStack,
    settings: Settings,
    stores: Stores,
    ledger: Ledger,
    pricing: Pricing,
    loops: Loops,
) -> MainPath:
    openai = settings.openai
    upstreams = make_upstreams(settings)
    stack.push_async_callback(upstreams.close)
    access_log = AccessLog(sys.stdout.buffer)
    stack.callback(access_log.flush)
    drains = Drains(within_s=openai.drain_timeout_s, most=openai.drains_max)
    watch(
        loops.metrics,
        open_calls=loops.open_calls,
        settler=loops.settler,
        backlog=loops.backlog,
        partitions=ledger.partitions,
        upstream=upstreams.shared,
        drains=drains,
    )
    jobs = make_jobs(stores, ledger, loops.settler, upstreams, pricing.quotes, pricing.book.card)
    owning = Owning(stores.database, upstreams, jobs)
    intake = Intake(
        authenticate=loops.authenticate,
        quotes=pricing.quotes,
        owning=owning,
        admits=loops.backlog.admits,
        body_max_bytes=settings.server.body_max_bytes,
    )
    replays = ReplayStore(
        ledger.scripts,
        stores.database,
        business_max_bytes=settings.idempotency.business_max_bytes,
        total_max_bytes=settings.idempotency.total_max_bytes,
    )
    object_calls = ObjectCalls(
        authenticate=loops.authenticate,
        owning=owning,
        upstreams=upstreams,
        rates=FreeRates(settings.limits.requests_per_minute),
        access_log=access_log,
        tally=loops.metrics.tally,
        body_max_bytes=settings.server.body_max_bytes,
    )
    watch_objects(object_calls, jobs)
    tool_intake = ToolIntake(
        authenticate=loops.authenticate,
        quotes=pricing.quotes,
        owning=owning,
        admits=loops.backlog.admits,
        body_max_bytes=settings.server.body_max_bytes,
        objects=object_calls,
        card=pricing.book.card,
        tariff=pricing.tariff,
    )

    holding = Holding(
        balances=ledger.balances,
        accounts=ledger.accounts,
        spending=ledger.spending,
        quotes=pricing.quotes,
        settler=loops.settler,
        lease_s=settings.holds.lease_s,
        limits=Limits(**settings.limits.model_dump()),
    )

    def make_proxy(intake: Intake) -> Proxy:
        return Proxy(
            intake=intake,
            quotes=pricing.quotes,
            owning=owning,
            holding=holding,
            upstreams=upstreams,
            settler=loops.settler,
            open_calls=loops.open_calls,
            drains=drains,
            tally=loops.metrics.tally,
            replays=Replays(
                replays, loops.open_calls, reply_max_bytes=settings.idempotency.reply_max_bytes
            ),
            access_log=access_log,
            out_of_credits_status=settings.credits.out_of_credits_status,
        )

    sockets = Sockets(
        authenticate=loops.authenticate,
        admits=loops.backlog.admits,
        calls=SocketCalls(
            quotes=pricing.quotes,
            holding=holding,
            settler=loops.settler,
            open_calls=loops.open_calls,
            access_log=access_log,
            tally=loops.metrics.tally,
        ),
        holding=holding,
        upstream=UpstreamSockets(
            openai.base_url,
            secret(openai.api_key),
            connect_timeout_s=openai.connect_timeout_s,
            frame_max_bytes=FRAME_MOST_BYTES,
        ),
        drains=drains,
        tally=loops.metrics.tally,
        owning=owning,
        total_timeout_s=openai.total_timeout_s,
        out_of_credits_status=settings.credits.out_of_credits_status,
        most=openai.max_connections,
    )
    return MainPath(
        intake, make_proxy(intake), make_proxy(tool_intake), object_calls, sockets, jobs
    )


def make_doors(
    settings: Settings,
    stores: Stores,
    ledger: Ledger,
    pricing: Pricing,
    loops: Loops,
    main_path: MainPath,
    selling: Selling,
) -> Parts:
    portal = Portal(
        balances=ledger.balances,
        accounts=ledger.accounts,
        calls=Calls(stores.database, stores.redis, ledger.partitions),
        intake=main_path.intake,
        quotes=pricing.quotes,
        card=pricing.book.card,
        tariff=pricing.tariff,
        buying=PortalBuying(selling.buying),
    )

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
        upstreams=frozenset(settings.upstreams),
        settling=selling.settling,
        channels=settings.alerts.channels,
    )
    digests = (settings.admin.token_digest, settings.admin.metrics_token_digest)
    admin = Beside(admin, Door(Scrape(loops.metrics), *digests))
    doors = Doors(
        proxy=main_path.proxy,
        tools=main_path.tools,
        object_calls=main_path.object_calls,
        sockets=main_path.sockets,
        authenticate=loops.authenticate,
        portal=portal,
        admin=None if settings.admin.port else admin,
        tally=loops.metrics.tally,
        others=Starlette(
            routes=[
                *Health(stores.database, ledger.partitions).routes(),
                *PaymentDoors(selling.settling).routes(),
            ]
        ),
        allowed_hosts=frozenset(settings.server.allowed_hosts),
    )
    return Parts(stores, ledger, pricing, loops, doors, admin, main_path.jobs, selling)
