"""What is to be sent of an alert: one row for each channel, written with the alert itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import Credits
from storage.database import insert_if_new
from storage.errors import Conflict, NotFound
from storage.ids import known_id, new_id
from storage.tables import ai_usage_alerts, business_ai_credits, businesses
from storage.tables_alerts import deliveries as table
from storage.tables_alerts import expiry_warnings

Channel = Literal["email", "webhook"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)

GIVES_UP_AFTER = timedelta(hours=72)

# Longer than any attempt takes: by then whoever claimed it has died, and another one tries.
CLAIMED_FOR = timedelta(minutes=2)


AT_ONCE = 500  # Ids in one query; both engines bound how many it may have.


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    An alert on its way through one channel.

    Attributes:
        state: pending, sent or failed.
        attempts: Since it was asked for last.
        last_error: Why the last attempt failed.
    """

    id: str
    alert: str
    channel: Channel
    state: str
    attempts: int
    next_attempt_at: datetime | None
    last_error: str | None
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class Notice:
    """
    What somebody is to be told, with all that the text needs.

    Attributes:
        id: Of the delivery.
        attempts: Made before.
        expires_at: When the credits expire, or did; None when they last for ever.
        days_before: The mark of an expiring_soon.
    """

    id: str
    alert: str
    attempts: int
    next_attempt_at: datetime
    gives_up_at: datetime
    alert_type: str
    raised_at: datetime
    balance: Credits
    threshold: Credits
    business: str
    business_name: str
    owner_email: str
    expires_at: datetime | None
    days_before: int | None


async def raise_alerts(
    connection: AsyncConnection,
    rows: Sequence[dict[str, Any]],
    channels: Collection[Channel],
    at: datetime,
) -> None:
    """Store alerts that are not there yet, and with each what is to be sent of it."""
    await connection.execute(insert_if_new(connection, ai_usage_alerts), list(rows))
    if not channels:
        return
    ids = [row["id"] for row in rows]
    # Of the same crossing there may be one already; that one is told.
    new = await connection.execute(
        select(ai_usage_alerts.c.id).where(ai_usage_alerts.c.id.in_(ids))
    )
    wanted = [_pending(alert, channel, at) for (alert,) in new for channel in channels]
    if wanted:
        await connection.execute(insert(table), wanted)


def _pending(alert: str, channel: Channel, at: datetime) -> dict[str, Any]:
    return {"id": new_id(), "alert_id": alert, "channel": channel} | _begun(at)


def _begun(at: datetime) -> dict[str, Any]:
    return {
        "state": "pending",
        "attempts": 0,
        "next_attempt_at": at,
        "gives_up_at": at + GIVES_UP_AFTER,
        "last_error": None,
        "sent_at": None,
    }


async def of_alerts(
    connection: AsyncConnection, alerts: Collection[str]
) -> dict[str, list[Delivery]]:
    """Alert → what is to be sent of it, in the order of the channels; absent where nothing is."""
    found: dict[str, list[Delivery]] = {}
    ids = list(alerts)
    for start in range(0, len(ids), AT_ONCE):
        some = table.c.alert_id.in_(ids[start : start + AT_ONCE])
        query = select(table).where(some).order_by(table.c.channel)
        for row in await connection.execute(query):
            found.setdefault(row.alert_id, []).append(_delivery(row))
    return found


async def due(
    connection: AsyncConnection, channel: Channel, *, at: datetime, limit: int
) -> list[Notice]:
    """What is to be sent through a channel by now, the longest waiting first."""
    alert, balance = ai_usage_alerts.c, business_ai_credits.c
    current = (
        select(balance.expires_at)
        .where(balance.business_id == alert.business_id)
        .order_by(balance.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(
            table.c.id,
            table.c.attempts,
            table.c.next_attempt_at,
            table.c.gives_up_at,
            alert.id.label("alert"),
            alert.alert_type,
            alert.sent_at,
            alert.current_balance_microcredits,
            alert.threshold_microcredits,
            businesses.c.id.label("business"),
            businesses.c.name,
            businesses.c.owner_email,
            current.label("now_expires_at"),
            expiry_warnings.c.expires_at,
            expiry_warnings.c.days_before,
        )
        .join(ai_usage_alerts, alert.id == table.c.alert_id)
        .join(businesses, businesses.c.id == alert.business_id)
        .outerjoin(expiry_warnings, expiry_warnings.c.alert_id == alert.id)
        .where(table.c.state == "pending", table.c.next_attempt_at <= at)
        .where(table.c.channel == channel)
        .order_by(table.c.next_attempt_at, table.c.id)
        .limit(limit)
    )
    return [_notice(row) for row in await connection.execute(query)]


async def claim(connection: AsyncConnection, notice: Notice, *, at: datetime) -> bool:
    """Whether sending it is ours: of two that found it due, one may."""
    done = await connection.execute(
        update(table)
        .where(table.c.id == notice.id, table.c.state == "pending")
        .where(table.c.next_attempt_at == notice.next_attempt_at)
        .values(next_attempt_at=at + CLAIMED_FOR, attempts=table.c.attempts + 1)
    )
    return done.rowcount == 1


async def note_sent(connection: AsyncConnection, notice: Notice, *, at: datetime) -> None:
    """It has arrived."""
    values = {"state": "sent", "sent_at": at, "next_attempt_at": None, "last_error": None}
    await _note(connection, notice, values)


async def note_failed(
    connection: AsyncConnection, notice: Notice, *, error: str, next_at: datetime
) -> None:
    """It has not: it is tried again at `next_at`, or given up when that is too late."""
    values: dict[str, Any] = {"last_error": error[:200], "next_attempt_at": next_at}
    if next_at > notice.gives_up_at:
        values |= {"state": "failed", "next_attempt_at": None}
    await _note(connection, notice, values)


async def _note(connection: AsyncConnection, notice: Notice, values: dict[str, Any]) -> None:
    # Asked for again in the meantime, it has another end.
    mine = (table.c.id == notice.id) & (table.c.gives_up_at == notice.gives_up_at)
    await connection.execute(update(table).where(mine).values(**values))
    await _sum_up(connection, notice.alert)


async def _sum_up(connection: AsyncConnection, alert: str) -> None:
    """Note with an alert what became of all its deliveries."""
    # Locked: two channels may end at once, and the later must see the earlier.
    await connection.execute(
        select(ai_usage_alerts.c.id).where(ai_usage_alerts.c.id == alert).with_for_update()
    )
    found = await connection.execute(select(table.c.state).where(table.c.alert_id == alert))
    states = {state for (state,) in found}
    summed = next((state for state in ("pending", "failed") if state in states), "sent")
    await connection.execute(
        update(ai_usage_alerts).where(ai_usage_alerts.c.id == alert).values(delivery_state=summed)
    )


async def send_again(
    connection: AsyncConnection, alert: str, channels: Collection[Channel], *, at: datetime
) -> None:
    """
    Send an alert once more through every channel, those that it had not got before included.

    Raises:
        NotFound: There is no such alert.
        Conflict: Nothing is set up to send it through.
    """
    id = known_id("alert", alert)
    found = await connection.execute(select(ai_usage_alerts.c.id).where(ai_usage_alerts.c.id == id))
    if found.one_or_none() is None:
        raise NotFound("alert", alert)
    if not channels:
        raise Conflict(
            "nothing is set up to send alerts through; set alerts.smtp_host or alerts.webhook_url"
        )
    rows = [_pending(id, channel, at) for channel in channels]
    await connection.execute(insert_if_new(connection, table), rows)
    asked = (table.c.alert_id == id) & table.c.channel.in_(list(channels))
    await connection.execute(update(table).where(asked).values(**_begun(at)))
    await _sum_up(connection, id)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        alert=row.alert_id,
        channel=row.channel,
        state=row.state,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        last_error=row.last_error,
        sent_at=row.sent_at,
    )


def _notice(row: Any) -> Notice:
    return Notice(
        id=row.id,
        alert=row.alert,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        gives_up_at=row.gives_up_at,
        alert_type=row.alert_type,
        raised_at=row.sent_at,
        balance=Credits(row.current_balance_microcredits),
        threshold=Credits(row.threshold_microcredits),
        business=row.business,
        business_name=row.name,
        owner_email=row.owner_email,
        expires_at=row.expires_at or row.now_expires_at,
        days_before=row.days_before,
    )
