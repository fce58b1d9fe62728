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
        tax_lines: What of the amount was tax on that day, as `metering/taxes.py` says it.
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
    tax_lines: tuple[dict[str, Any], ...] = ()


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
    expires_at = _latest(row, expires_at or months_later(at, buyer.expires_after_months))
    id = new_id()
    parts = _parts(credits, bonus)
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
    await store(connection, purchase)
    await _write_parts(connection, purchase, expires_at, at)
    return purchase


async def credit(connection: AsyncConnection, purchase: Purchase, at: datetime) -> int:
    """
    Add what a purchase is for, once its row was made `completed` in this transaction.

    The answer is its credit_seq. Raises BadAmount when the balance would grow too large.
    """
    buyer = await businesses.get(connection, purchase.business)
    row = await balance_rows.lock_one(connection, buyer.id)
    expires_at = _latest(row, months_later(at, buyer.expires_after_months))
    await _write_parts(connection, purchase, expires_at, at)
    return row.credit_seq + (2 if purchase.bonus_credits else 1)


def _latest(row: balance_rows.LedgerRow, expires_at: datetime) -> datetime:
    # A plan that was made shorter meanwhile takes nothing from what was bought before.
    return expires_at if row.expires_at is None else max(expires_at, row.expires_at)


def _parts(credits: Credits, bonus: Credits) -> list[tuple[Kind, Credits]]:
    both: list[tuple[Kind, Credits]] = [("purchase", credits), ("bonus", bonus)]
    return [(kind, part) for kind, part in both if part]


async def _write_parts(
    connection: AsyncConnection, purchase: Purchase, expires_at: datetime, at: datetime
) -> None:
    for kind, part in _parts(purchase.credits_purchased, purchase.bonus_credits):
        await movements.write_event(
            connection,
            business=purchase.business,
            kind=kind,
            verb="add",
            amount=part,
            expires_at=expires_at,
            reference=purchase.id,
            reason=purchase.note,
            at=at,
        )


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


async def store(connection: AsyncConnection, purchase: Purchase) -> None:
    """Write a receipt; Conflict when this reference of this provider has one."""
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
            tax_lines=list(purchase.tax_lines),
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
    return [purchase_of(row) for row in found]


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
    return purchase_of(row)


def months_later(at: datetime, months: int) -> datetime:
    """The same day and time `months` calendar months on, or that month's last day."""
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    day = min(at.day, monthrange(year, month + 1)[1])
    return at.replace(year=year, month=month + 1, day=day)


def purchase_of(row: Row[Any]) -> Purchase:
    """A row of the table as what it is."""
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
        tax_lines=tuple(row.tax_lines),
    )
