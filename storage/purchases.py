"""Purchases: the receipt for credits that were added, for ever; and corrections by hand."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import MOST_MICROCREDITS, Credits
from storage import balance_rows, businesses, movements, pages
from storage.database import insert_if_new
from storage.errors import BadAmount, Conflict, NotFound
from storage.ids import known_id, new_id
from storage.movements import CreditEvent, Kind
from storage.tables import ai_credit_purchases as table


@dataclass(frozen=True, slots=True)
class Purchase:
    """
    AICreditPurchase: what was paid and what was added for it.

    Attributes:
        amount_paid_minor: In minor units of `currency` (pesewas, cents).
        credit_seq: The last credit event that it wrote.
        applied_at: When Redis had all of it; for display.
    """

    id: str
    business: str
    user: str | None
    amount_paid_minor: int
    currency: str
    credits_purchased: Credits
    bonus_credits: Credits
    provider: str
    payment_reference: str
    payment_status: str
    payment_method: str
    package: str | None
    note: str | None
    credit_seq: int | None
    created_at: datetime
    completed_at: datetime | None
    applied_at: datetime | None


async def top_up(
    connection: AsyncConnection,
    *,
    business: str,
    credits: Credits,
    bonus: Credits = Credits(0),  # noqa: B008 - it never changes
    amount_paid_minor: int = 0,
    currency: str | None = None,
    provider: str = "admin",
    reference: str | None = None,
    method: str = "admin_grant",
    user: str | None = None,
    note: str | None = None,
    package: str | None = None,
    expires_at: datetime | None = None,
    at: datetime,
) -> Purchase:
    """
    Add credits and write the receipt; all of the balance then expires on the new day.

    Args:
        amount_paid_minor: In minor units of the currency.
        currency: ISO 4217; the business's own when None.
        reference: The provider's; each is credited once. The purchase's id when None.
        expires_at: The day; by the months of the business when None.

    Raises:
        NotFound: There is no such business.
        BadAmount: Nothing to add, a negative part, or more than a balance can be.
        Conflict: This reference of this provider was credited already.
    """
    _check(credits, bonus, amount_paid_minor)
    buyer = await businesses.get(connection, business)
    row = await balance_rows.lock_one(connection, business)
    expires_at = expires_at or months_later(at, buyer.expires_after_months)
    if row.expires_at is not None:
        # A plan that was made shorter meanwhile takes nothing from what was bought before.
        expires_at = max(expires_at, row.expires_at)
    id = new_id()
    wanted: list[tuple[Kind, Credits]] = [("purchase", credits), ("bonus", bonus)]
    parts = [(kind, part) for kind, part in wanted if part]
    purchase = Purchase(
        id=id,
        business=buyer.id,
        user=user,
        amount_paid_minor=amount_paid_minor,
        currency=currency or buyer.currency,
        credits_purchased=credits,
        bonus_credits=bonus,
        provider=provider,
        payment_reference=reference or id,
        payment_status="completed",
        payment_method=method,
        package=package,
        note=note,
        credit_seq=row.credit_seq + len(parts),
        created_at=at,
        completed_at=at,
        applied_at=None,
    )
    await _store(connection, purchase)
    for kind, part in parts:
        await movements.write_event(
            connection,
            business=buyer.id,
            kind=kind,
            verb="add",
            amount=part,
            expires_at=expires_at,
            reference=id,
            reason=note,
            at=at,
        )
    return purchase


def _check(credits: Credits, bonus: Credits, amount_paid_minor: int) -> None:
    if min(credits.micro, bonus.micro) < 0 or credits.micro + bonus.micro == 0:
        raise BadAmount(
            f"a top-up of {credits} and {bonus} bonus credits adds nothing or takes; "
            "write amounts of 0 or more, not both 0"
        )
    if credits.micro + bonus.micro > MOST_MICROCREDITS:
        raise BadAmount(f"a top-up adds at most {Credits(MOST_MICROCREDITS)} credits")
    if not 0 <= amount_paid_minor <= MOST_MICROCREDITS:
        raise BadAmount("the amount paid is 0 or more, and below 10^15 minor units")


async def _store(connection: AsyncConnection, purchase: Purchase) -> None:
    stored = await connection.execute(
        insert_if_new(connection, table).values(
            id=purchase.id,
            business_id=purchase.business,
            user=purchase.user,
            amount_paid_minor=purchase.amount_paid_minor,
            currency=purchase.currency,
            credits_purchased_microcredits=purchase.credits_purchased.micro,
            bonus_credits_microcredits=purchase.bonus_credits.micro,
            provider=purchase.provider,
            payment_reference=purchase.payment_reference,
            payment_status=purchase.payment_status,
            payment_method=purchase.payment_method,
            package=purchase.package,
            tax_lines=[],
            note=purchase.note,
            credit_seq=purchase.credit_seq,
            created_at=purchase.created_at,
            completed_at=purchase.completed_at,
        )
    )
    if stored.rowcount == 0:
        raise Conflict(
            f"payment reference {purchase.payment_reference!r} of {purchase.provider} was "
            "credited already; a payment is credited once"
        )


async def adjust(
    connection: AsyncConnection,
    *,
    business: str,
    credits: Credits,
    reason: str,
    user: str,
    at: datetime,
) -> CreditEvent:
    """
    Correct a balance by hand.

    Credits that are added last as long as the rest; they get the days of a purchase when
    there is no rest. What is taken is taken by Redis, and what is not there becomes owed.

    Args:
        credits: Signed, not zero.
        user: Who corrects; stored with the reason.

    Raises:
        NotFound: There is no such business.
        BadAmount: Zero, or more than a balance can be.
    """
    adds = credits.micro > 0
    expires_at = None
    if adds:
        row = await balance_rows.lock_one(connection, business)
        if row.expires_at is None or row.has_expired(at):
            months = (await businesses.get(connection, business)).expires_after_months
            expires_at = months_later(at, months)
    return await movements.write_event(
        connection,
        business=business,
        kind="adjustment",
        verb="add" if adds else "take",
        amount=credits if adds else -credits,
        expires_at=expires_at,
        reference=user[:200],
        reason=reason,
        at=at,
    )


async def page(
    connection: AsyncConnection, business: str | None, *, limit: int, after: str | None = None
) -> list[Purchase]:
    """
    Receipts, newest first; `after` is the last id seen.

    Args:
        business: Whose; everybody's when None.
    """
    found = await pages.newest(
        connection, table, noun="purchase", limit=limit, after=after, business=business
    )
    return [_purchase(row) for row in found]


async def get(connection: AsyncConnection, id: str) -> Purchase:
    """
    One receipt.

    Raises:
        NotFound: There is none with this id.
    """
    found = await connection.execute(select(table).where(table.c.id == known_id("purchase", id)))
    row = found.one_or_none()
    if row is None:
        raise NotFound("purchase", id)
    return _purchase(row)


def months_later(at: datetime, months: int) -> datetime:
    """The same day and time `months` calendar months on, or that month's last day."""
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    day = min(at.day, monthrange(year, month + 1)[1])
    return at.replace(year=year, month=month + 1, day=day)


def _purchase(row: Row[Any]) -> Purchase:
    return Purchase(
        id=row.id,
        business=row.business_id,
        user=row.user,
        amount_paid_minor=row.amount_paid_minor,
        currency=row.currency,
        credits_purchased=Credits(row.credits_purchased_microcredits),
        bonus_credits=Credits(row.bonus_credits_microcredits),
        provider=row.provider,
        payment_reference=row.payment_reference,
        payment_status=row.payment_status,
        payment_method=row.payment_method,
        package=row.package,
        note=row.note,
        credit_seq=row.credit_seq,
        created_at=row.created_at,
        completed_at=row.completed_at,
        applied_at=row.applied_at,
    )
