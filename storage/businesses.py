"""Businesses: who pays, and owns keys and a balance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import Credits
from metering.switches import SWITCHES
from storage import balance_rows, movements, pages
from storage.balance_rows import LedgerRow
from storage.errors import NotFound
from storage.ids import known_id, new_id
from storage.tables import businesses as table

Status = Literal["active", "suspended"]

LOW_BALANCE_THRESHOLD = Credits(10_000_000)  # Ten credits: some four calls at 2.50.
EXPIRES_AFTER_MONTHS = 6

_COLUMNS = {"low_balance_threshold": "low_balance_threshold_microcredits"}
_IN_REDIS = frozenset({"status", "low_balance_threshold"})  # What the scripts decide by.
IN_SETTINGS = frozenset({"switches", "upstream"})
"""Fields that stand in the column `settings`, and reach a gateway with a key's holder."""


@dataclass(frozen=True, slots=True)
class Business:
    """
    A shop, a clinic, a school: who pays for calls.

    Attributes:
        currency: ISO 4217; what it pays in.
        time_zone: IANA name; its days and statements.
        low_balance_threshold: Below this the owner is warned.
        expires_after_months: Calendar months from a purchase to the end of its credits.
        switches: What is switched on for it; names of `metering/switches.py`.
        upstream: The settings of an upstream key of its own; None for the shared one.
    """

    id: str
    name: str
    owner_email: str
    owner_phone: str | None
    status: str
    currency: str
    time_zone: str
    low_balance_threshold: Credits
    expires_after_months: int
    created_at: datetime
    switches: frozenset[str] = frozenset()
    upstream: str | None = None


async def add(
    connection: AsyncConnection,
    *,
    name: str,
    owner_email: str,
    owner_phone: str | None = None,
    currency: str = "GHS",
    time_zone: str = "Africa/Accra",
    low_balance_threshold: Credits = LOW_BALANCE_THRESHOLD,
    expires_after_months: int = EXPIRES_AFTER_MONTHS,
    switches: frozenset[str] = frozenset(),
    upstream: str | None = None,
    at: datetime,
) -> Business:
    """Store a new business with a balance of nothing."""
    business = Business(
        id=new_id(),
        name=name,
        owner_email=owner_email,
        owner_phone=owner_phone,
        status="active",
        currency=currency,
        time_zone=time_zone,
        low_balance_threshold=low_balance_threshold,
        expires_after_months=expires_after_months,
        created_at=at,
        switches=switches,
        upstream=upstream,
    )
    await connection.execute(
        insert(table).values(
            id=business.id,
            name=name,
            owner_email=owner_email,
            owner_phone=owner_phone,
            status=business.status,
            currency=currency,
            time_zone=time_zone,
            low_balance_threshold_microcredits=low_balance_threshold.micro,
            expires_after_months=expires_after_months,
            settings=_settings({}, {"switches": switches, "upstream": upstream}),
            created_at=at,
            updated_at=at,
        )
    )
    await balance_rows.add(connection, business.id, at)
    return business


async def get(connection: AsyncConnection, id: str) -> Business:
    """
    One business.

    Raises:
        NotFound: There is none with this id.
    """
    found = await connection.execute(select(table).where(table.c.id == known_id("business", id)))
    row = found.one_or_none()
    if row is None:
        raise NotFound("business", id)
    return _business(row)


async def page(
    connection: AsyncConnection, *, limit: int, after: str | None = None
) -> list[Business]:
    """Businesses, newest first; `after` is the last id seen."""
    found = await pages.newest(connection, table, noun="business", limit=limit, after=after)
    return [_business(row) for row in found]


async def set_status(
    connection: AsyncConnection, id: str, *, status: Status, at: datetime
) -> Business:
    """
    Suspend or resume; Redis learns of it by a credit event of amount zero.

    Nothing is written when the status is that already.

    Raises:
        NotFound: There is no such business.
    """
    return await change(connection, id, {"status": status}, at=at)


async def change(
    connection: AsyncConnection, id: str, fields: Mapping[str, Any], *, at: datetime
) -> Business:
    """
    Give fields of a business other values.

    What decides calls (status, threshold) reaches Redis by a credit event of amount zero.
    Nothing is written when all of it is so already.

    Args:
        fields: Names of `Business` and their new values; amounts are `Credits`.

    Raises:
        NotFound: There is no such business.
    """
    # The balance row is locked before the business changes, in the order of write_event.
    await balance_rows.lock_one(connection, id)
    business = await get(connection, id)
    changed = {name: new for name, new in fields.items() if getattr(business, name) != new}
    if not changed:
        return business
    columns = {
        _COLUMNS.get(name, name): _plain(new)
        for name, new in changed.items()
        if name not in IN_SETTINGS
    }
    if changed.keys() & IN_SETTINGS:
        columns["settings"] = _settings(await _settings_of(connection, business.id), changed)
    await connection.execute(
        update(table).where(table.c.id == business.id).values(**columns, updated_at=at)
    )
    told = [f"{name} {new}" for name, new in changed.items() if name in _IN_REDIS]
    if told:
        await movements.write_event(
            connection,
            business=business.id,
            kind="configure",
            verb="configure",
            amount=Credits(0),
            expires_at=None,
            reference=None,
            reason=", ".join(told),
            at=at,
        )
    return replace(business, **changed)


def switches_in(settings: Mapping[str, Any]) -> frozenset[str]:
    """What the column `settings` switches on; a name that is not known is nobody's."""
    return frozenset(settings.get("switches") or ()) & SWITCHES.keys()


async def _settings_of(connection: AsyncConnection, id: str) -> Mapping[str, Any]:
    found = await connection.execute(select(table.c.settings).where(table.c.id == id))
    settings: Mapping[str, Any] = found.scalar_one()
    return settings


def _settings(before: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """The column with these fields in it; what else stands there stays."""
    after = {**before, **{name: changed[name] for name in IN_SETTINGS if name in changed}}
    if "switches" in changed:
        after["switches"] = sorted(changed["switches"])
    return {name: value for name, value in after.items() if value}


def _plain(value: Any) -> Any:
    return value.micro if isinstance(value, Credits) else value


async def ledger_row(connection: AsyncConnection, id: str) -> LedgerRow:
    """
    The current balance row of a business, as SQL knows it.

    Raises:
        NotFound: There is no such business.
    """
    return await balance_rows.read(connection, id)


def _business(row: Row[Any]) -> Business:
    return Business(
        id=row.id,
        name=row.name,
        owner_email=row.owner_email,
        owner_phone=row.owner_phone,
        status=row.status,
        currency=row.currency,
        time_zone=row.time_zone,
        low_balance_threshold=Credits(row.low_balance_threshold_microcredits),
        expires_after_months=row.expires_after_months,
        created_at=row.created_at,
        switches=switches_in(row.settings),
        upstream=row.settings.get("upstream"),
    )
