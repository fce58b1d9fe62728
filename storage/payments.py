"""
Purchases that a provider is paid for: pending → completed or failed, and never back.

Whichever way a payment is heard of (a webhook, the payer's return, a sweep), it ends in
`settle`: one UPDATE of a pending row, in the transaction that writes its credit events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import Credits
from storage import businesses, payment_checks, payment_problems, purchases
from storage.errors import NotFound
from storage.ids import new_id
from storage.payment_problems import Why
from storage.purchases import Purchase
from storage.tables import ai_credit_purchases as table

Outcome = Literal["credited", "already", "problem"]


@dataclass(frozen=True, slots=True)
class Paid:
    """
    What a provider says was paid.

    Attributes:
        reference: Ours, which the provider was given.
        business, purchase: As the provider was told at the start; None when it does not say.
        method: mobile_money, card, ….
        answer: What is kept of its words on the receipt.
    """

    provider: str
    reference: str
    amount_minor: int
    currency: str
    business: str | None
    purchase: str | None
    method: str
    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of a payment; `purchase` as it is now, None when nobody knows it."""

    outcome: Outcome
    purchase: Purchase | None


async def begin(
    connection: AsyncConnection,
    *,
    business: str,
    package: str,
    amount_minor: int,
    currency: str,
    credits: Credits,
    bonus: Credits,
    tax_lines: tuple[dict[str, Any], ...],
    provider: str,
    user: str | None,
    at: datetime,
) -> Purchase:
    """
    Write a pending purchase, with the reference under which it is to be paid.

    Args:
        amount_minor: What is to be paid, in minor units of `currency`.

    Raises:
        NotFound: There is no such business.
    """
    buyer = await businesses.get(connection, business)
    id = new_id()
    purchase = Purchase(
        id=id,
        business=buyer.id,
        user=user,
        amount_paid_minor=amount_minor,
        currency=currency,
        credits_purchased=credits,
        bonus_credits=bonus,
        provider=provider,
        payment_reference=f"AI-CREDIT-{id}",
        payment_status="pending",
        payment_method="unknown",
        package=package,
        note=None,
        credit_seq=None,
        created_at=at,
        completed_at=None,
        applied_at=None,
        tax_lines=tax_lines,
    )
    await purchases.store(connection, purchase)
    await payment_checks.begin(connection, id, at)
    return purchase


async def find(connection: AsyncConnection, provider: str, reference: str) -> Purchase | None:
    """The purchase that a provider's reference names, whatever its status."""
    found = await connection.execute(
        select(table).where(table.c.provider == provider, table.c.payment_reference == reference)
    )
    row = found.one_or_none()
    return purchases.purchase_of(row) if row else None


async def settle(connection: AsyncConnection, paid: Paid, at: datetime) -> Settled:
    """
    Credit what was paid, if it is the payment of a pending purchase, to the last unit.

    What does not match credits nothing and waits for a person.

    Raises:
        BadAmount: The balance would grow too large; nothing was changed.
    """
    purchase = await find(connection, paid.provider, paid.reference)
    why = _mismatch(purchase, paid)
    if purchase is None or why is not None:
        return await _problem(connection, purchase, paid, why or "unknown", at)
    completed = await complete(connection, purchase, paid, at)
    if completed is not None:
        return Settled("credited", completed)
    now = await purchases.get(connection, purchase.id)
    if now.payment_status == "failed":
        return await _problem(connection, now, paid, "late", at)
    return Settled("already", now)


def _mismatch(purchase: Purchase | None, paid: Paid) -> Why | None:
    if purchase is None:
        return "unknown"
    if (paid.business, paid.purchase) != (purchase.business, purchase.id):
        return "business"
    if paid.currency != purchase.currency:
        return "currency"
    return "amount" if paid.amount_minor != purchase.amount_paid_minor else None


async def complete(
    connection: AsyncConnection, purchase: Purchase, paid: Paid, at: datetime
) -> Purchase | None:
    """
    Complete a pending purchase and write its credit events; None when it was not pending.

    The receipt says what was really paid: a person may have accepted another amount.

    Raises:
        BadAmount: The balance would grow too large.
    """
    changed = await connection.execute(
        update(table)
        # Whoever comes second waits here for the first, and then finds nothing pending.
        .where(table.c.id == purchase.id, table.c.payment_status == "pending")
        .values(
            payment_status="completed",
            amount_paid_minor=paid.amount_minor,
            currency=paid.currency,
            payment_method=paid.method[:32],
            provider_answer=dict(paid.answer),
            completed_at=at,
        )
        .returning(table.c.id)
    )
    if changed.one_or_none() is None:
        return None
    seq = await purchases.credit(connection, purchase, at)
    await connection.execute(update(table).where(table.c.id == purchase.id).values(credit_seq=seq))
    await payment_checks.end(connection, purchase.id, "paid")
    return await purchases.get(connection, purchase.id)


async def fail(connection: AsyncConnection, purchase: str, said: str) -> bool:
    """Give a pending purchase up; False when it was not pending."""
    changed = await connection.execute(
        update(table)
        .where(table.c.id == purchase, table.c.payment_status == "pending")
        .values(payment_status="failed")
    )
    if changed.rowcount:
        await payment_checks.end(connection, purchase, said)
    return bool(changed.rowcount)


async def _problem(
    connection: AsyncConnection, purchase: Purchase | None, paid: Paid, why: Why, at: datetime
) -> Settled:
    expected = {}
    if purchase is not None:
        expected = {
            "business": purchase.business,
            "purchase": purchase.id,
            "amount_minor": purchase.amount_paid_minor,
            "currency": purchase.currency,
        }
    await payment_problems.note(
        connection,
        provider=paid.provider,
        reference=paid.reference,
        why=why,
        purchase=purchase.id if purchase else None,
        expected=expected,
        found=_found(paid),
        at=at,
    )
    return Settled("problem", purchase)


async def note_too_much(
    connection: AsyncConnection, purchase: Purchase | None, paid: Paid, at: datetime
) -> None:
    """Put a payment before a person that would make the balance grow too large."""
    await _problem(connection, purchase, paid, "too_much", at)


def _found(paid: Paid) -> dict[str, Any]:
    """What was paid, as it is put before a person."""
    return {
        "business": paid.business,
        "purchase": paid.purchase,
        "amount_minor": paid.amount_minor,
        "currency": paid.currency,
        "method": paid.method,
        "answer": dict(paid.answer),
    }


async def accept(
    connection: AsyncConnection, problem: payment_problems.Problem, reason: str, at: datetime
) -> Purchase:
    """
    Credit the purchase that a problem is about, with what was paid on its receipt.

    A purchase that was given up stays failed; the late payment gets a receipt of its own.

    Raises:
        NotFound: The problem names no purchase of ours.
        BadAmount: The balance would grow too large.
    """
    if problem.purchase is None:
        raise NotFound("purchase", problem.reference)
    purchase = await purchases.get(connection, problem.purchase)
    found = problem.found
    paid = Paid(
        provider=problem.provider,
        reference=problem.reference,
        amount_minor=found["amount_minor"],
        currency=found["currency"],
        business=purchase.business,
        purchase=purchase.id,
        method=found["method"],
        answer=found["answer"],
    )
    completed = await complete(connection, purchase, paid, at)
    if completed is not None:
        return completed
    return await purchases.top_up(
        connection,
        business=purchase.business,
        credits=purchase.credits_purchased,
        bonus=purchase.bonus_credits,
        amount_paid_minor=paid.amount_minor,
        currency=paid.currency,
        provider=problem.provider,
        reference=f"{problem.reference}-{problem.why}",
        method=paid.method[:32],
        package=purchase.package,
        note=reason,
        at=at,
    )
