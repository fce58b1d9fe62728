"""The table of the admin API, behind its door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from gateway.admin.alerts import Alerts
from gateway.admin.analytics import Analytics
from gateway.admin.audit import Audit
from gateway.admin.businesses import Businesses
from gateway.admin.changes import BusinessDefaults
from gateway.admin.credits import CreditsNow
from gateway.admin.desk import AppliesCredits, Desk, ReadsBalances
from gateway.admin.door import Door
from gateway.admin.keys import Keys
from gateway.admin.openapi import OpenApi
from gateway.admin.payments import Payments
from gateway.admin.purchases import Purchases
from gateway.admin.refusals import AdminRefusal, refusal_reply
from gateway.admin.transactions import Transactions
from gateway.payments.settling import Settling
from storage.database import Database
from storage.deliveries import Channel
from storage.errors import StorageError

NOUNS = (
    *(Businesses, Keys, Purchases, Payments, CreditsNow, Transactions, Alerts),
    *(Analytics, Audit, OpenApi),
)


def build_admin(
    *,
    database: Database,
    balances: ReadsBalances,
    crediting: AppliesCredits,
    token_digest: bytes | None,
    announce_revocation: Callable[[bytes], Awaitable[object]],
    clock: Callable[[], datetime],
    business_defaults: BusinessDefaults = BusinessDefaults(),  # noqa: B008 - it is frozen
    upstreams: frozenset[str] = frozenset(),
    settling: Settling | None = None,
    channels: tuple[Channel, ...] = (),
) -> ASGIApp:
    """
    The admin API as one ASGI app; give it every request for /admin and below, as it came.

    Args:
        token_digest: SHA-256 of the admin token; None closes the API.
        announce_revocation: Tells every process the digest of a revoked key; may raise
            LedgerUnavailable.
        clock: The time, aware.
        business_defaults: What a new business gets where its form is silent.
        upstreams: Names of the upstream keys that a business may have of its own.
        channels: Through which alerts are told.
        settling: What is heard of payments; None where nobody can be paid.
    """
    settling = settling or Settling(database, None, apply=crediting.apply, clock=clock)
    desk = Desk(
        *(database, balances, crediting, announce_revocation, clock, business_defaults),
        settling,
        upstreams,
        channels,
    )
    routes = [route for noun in NOUNS for route in noun(desk).routes()]
    told = dict.fromkeys((AdminRefusal, StorageError, 404, 405, Exception), _told)
    app = Starlette(routes=routes, exception_handlers=told)
    app.router.redirect_slashes = False
    return Door(app, token_digest)


def _told(request: Request, error: Exception) -> Response:
    reply = refusal_reply(error)
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    return Response(reply.body, reply.status, headers)
