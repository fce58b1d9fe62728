"""
API keys. A key is 256 random bits, shown once; SQL keeps its SHA-256.

Nobody can guess such a key, so no salt and no slow hash is needed, and looking it up by
its digest compares nothing that a clock could measure.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import MOST_MICROCREDITS, Credits
from storage import businesses, pages
from storage.errors import NotFound
from storage.ids import known_id, new_id
from storage.limits import Limits
from storage.tables import api_keys as table
from storage.tables import businesses as business_table

PREFIX = "gw-"

# A key that once had a cap keeps this one, which nobody can spend: so Redis goes on counting,
# and another cap knows what was spent in between.
NO_CAP_ANY_MORE = Credits(MOST_MICROCREDITS)


@dataclass(frozen=True, slots=True)
class Scopes:
    """
    What a key may be used for.

    Attributes:
        endpoints: Endpoint names; empty means all.
        models: Model ids; empty means all that are priced and allowed.
        features: Features with a price of their own; empty means none of them.
    """

    endpoints: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored: all but its secret, of which `digest` is the SHA-256."""

    id: str
    business: str
    shown: str
    name: str
    scopes: Scopes
    default_feature: str | None
    credit_cap: Credits | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    digest: bytes = field(repr=False)
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """
    Whom a digest belongs to, revoked and expired keys included.

    Who asks decides what a revoked key is told. `switches` names what is switched on for
    the business beyond what every one may use; `upstream` names the settings of an upstream
    key of its own.
    """

    key_id: str
    business: str
    business_status: str
    scopes: Scopes
    default_feature: str | None
    credit_cap: Credits | None
    expires_at: datetime | None
    revoked_at: datetime | None
    limits: Limits = Limits()
    switches: frozenset[str] = frozenset()
    upstream: str | None = None


def digest_of(secret: str) -> bytes:
    """The SHA-256 under which a key is stored."""
    return sha256(secret.encode()).digest()


async def issue(
    connection: AsyncConnection,
    *,
    business: str,
    name: str,
    scopes: Scopes | None = None,
    default_feature: str | None = None,
    credit_cap: Credits | None = None,
    limits: Limits | None = None,
    expires_at: datetime | None = None,
    at: datetime,
) -> tuple[ApiKey, str]:
    """
    Make a key; the second of the answer is its secret, which nobody can show again.

    Raises:
        NotFound: There is no such business.
    """
    holder = await businesses.get(connection, business)
    secret = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=new_id(),
        business=holder.id,
        shown=f"{secret[:7]}…{secret[-4:]}",
        name=name,
        scopes=scopes or Scopes(),
        default_feature=default_feature,
        credit_cap=credit_cap,
        expires_at=expires_at,
        revoked_at=None,
        last_used_at=None,
        created_at=at,
        digest=digest_of(secret),
        limits=limits or Limits(),
    )
    await connection.execute(
        insert(table).values(
            id=key.id,
            business_id=key.business,
            digest=key.digest,
            shown=key.shown,
            name=name,
            scopes=_scopes_column(key.scopes),
            default_feature=default_feature,
            # A cap of nothing is a cap.
            credit_cap_microcredits=None if credit_cap is None else credit_cap.micro,
            **asdict(key.limits),
            expires_at=expires_at,
            created_at=at,
        )
    )
    return key, secret


async def find(connection: AsyncConnection, digest: bytes) -> KeyHolder | None:
    """Whom the key with this SHA-256 belongs to; None when there is no such key."""
    return (await find_all(connection, [digest])).get(digest)


async def find_all(connection: AsyncConnection, digests: list[bytes]) -> dict[bytes, KeyHolder]:
    """The same for many digests in one question; what is not a key is left out."""
    found = await connection.execute(
        select(table, business_table.c.status, business_table.c.settings)
        .join(business_table, business_table.c.id == table.c.business_id)
        .where(table.c.digest.in_(digests))
    )
    return {bytes(row.digest): _holder(row) for row in found}


async def live_digests(connection: AsyncConnection, business: str) -> list[bytes]:
    """The SHA-256 of every key of a business that was not revoked."""
    found = await connection.execute(
        select(table.c.digest).where(
            table.c.business_id == known_id("business", business), table.c.revoked_at.is_(None)
        )
    )
    return [bytes(digest) for digest in found.scalars()]


async def page(
    connection: AsyncConnection, business: str, *, limit: int, after: str | None = None
) -> list[ApiKey]:
    """Keys of a business, newest first, revoked ones included; `after` is the last id seen."""
    found = await pages.newest(
        connection, table, noun="key", limit=limit, after=after, business=business
    )
    return [_key(row) for row in found]


async def get(connection: AsyncConnection, id: str) -> ApiKey:
    """
    One key.

    Raises:
        NotFound: There is none with this id.
    """
    found = await connection.execute(select(table).where(table.c.id == known_id("key", id)))
    row = found.one_or_none()
    if row is None:
        raise NotFound("key", id)
    return _key(row)


async def change(connection: AsyncConnection, key: ApiKey, fields: Mapping[str, Any]) -> ApiKey:
    """
    Set some of `requests_per_minute`, `tokens_per_minute`, `concurrent`, `credit_cap`.

    None takes one away. Whoever knows the key has to look it up again.
    """
    limits = {name: value for name, value in fields.items() if name != "credit_cap"}
    values: dict[str, Any] = {**limits}
    cap = fields.get("credit_cap", key.credit_cap)
    if cap != key.credit_cap:
        values["credit_cap_microcredits"] = (NO_CAP_ANY_MORE if cap is None else cap).micro
    if values:
        await connection.execute(update(table).where(table.c.id == key.id).values(values))
    return replace(key, limits=replace(key.limits, **limits), credit_cap=cap)


def capped(found: Iterable[ApiKey]) -> list[str]:
    """The ids of those that have a cap."""
    return [key.id for key in found if key.credit_cap is not None]


async def revoke(connection: AsyncConnection, id: str, at: datetime) -> ApiKey:
    """
    End a key; one that was revoked stays revoked since then.

    Raises:
        NotFound: There is none with this id.
    """
    key = await get(connection, id)
    if key.revoked_at is None:
        await connection.execute(update(table).where(table.c.id == key.id).values(revoked_at=at))
        key = replace(key, revoked_at=at)
    return key


def _holder(row: Row[Any]) -> KeyHolder:
    return KeyHolder(
        key_id=row.id,
        business=row.business_id,
        business_status=row.status,
        scopes=_scopes(row.scopes),
        default_feature=row.default_feature,
        credit_cap=_cap(row),
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        limits=_limits(row),
        switches=businesses.switches_in(row.settings),
        upstream=row.settings.get("upstream"),
    )


def _scopes_column(scopes: Scopes) -> dict[str, list[str]]:
    return {
        "endpoints": sorted(scopes.endpoints),
        "models": sorted(scopes.models),
        "features": sorted(scopes.features),
    }


def _scopes(column: dict[str, list[str]]) -> Scopes:
    return Scopes(**{name: frozenset(values) for name, values in column.items()})


def _cap(row: Row[Any]) -> Credits | None:
    cap = row.credit_cap_microcredits
    return None if cap is None else Credits(cap)


def _limits(row: Row[Any]) -> Limits:
    return Limits(row.requests_per_minute, row.tokens_per_minute, row.concurrent)


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        business=row.business_id,
        shown=row.shown,
        name=row.name,
        scopes=_scopes(row.scopes),
        default_feature=row.default_feature,
        credit_cap=None if (cap := _cap(row)) == NO_CAP_ANY_MORE else cap,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        created_at=row.created_at,
        digest=row.digest,
        limits=_limits(row),
    )
