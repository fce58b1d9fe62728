"""
What an admin can change, each with its line in the audit log in the same transaction.

The API and the commands make their changes here, so that both leave the same traces.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import shown
from gateway.admin.forms import Acknowledgement, Adjustment, BusinessChange, NewBusiness, TopUp
from gateway.admin.refusals import AlreadyCredited
from gateway.admin.trials import reference_of
from metering.money import Credits
from storage import alerts, audit_log, businesses, payments, purchases
from storage.alerts import Alert
from storage.businesses import Business, Status
from storage.errors import Conflict
from storage.movements import CreditEvent
from storage.purchases import Purchase

Work = Callable[[AsyncConnection], Awaitable[shown.Shown]]

PROVIDER = "admin"  # Under which payments that an admin enters are unique.


@dataclass(frozen=True, slots=True)
class Admin:
    """
    Who changes something, and when.

    Attributes:
        who: `admin`, `admin:<name>` through the API, `command:<name>` in a terminal.
    """

    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class BusinessDefaults:
    """What a new business gets where its form is silent: `[credits]` of the settings."""

    low_balance_threshold: Credits = businesses.LOW_BALANCE_THRESHOLD
    expires_after_months: int = businesses.EXPIRES_AFTER_MONTHS


async def add_business(
    connection: AsyncConnection, form: NewBusiness, admin: Admin, defaults: BusinessDefaults
) -> Business:
    """Add a business, with a balance of nothing."""
    low_at, months = form.low_balance_threshold, form.expires_after_months
    business = await businesses.add(
        connection,
        name=form.name,
        owner_email=form.owner_email,
        owner_phone=form.owner_phone,
        currency=form.currency,
        time_zone=form.time_zone,
        low_balance_threshold=defaults.low_balance_threshold if low_at is None else low_at,
        expires_after_months=defaults.expires_after_months if months is None else months,
        switches=frozenset(form.switches),
        upstream=form.upstream,
        at=admin.at,
    )
    await audit_log.write(
        connection,
        who=admin.who,
        what="business.add",
        object_id=business.id,
        after=shown.business(business),
        at=admin.at,
    )
    return business


async def set_status(
    connection: AsyncConnection, id: str, status: Status, admin: Admin
) -> Business:
    """
    Suspend a business or let it go on; doing it twice changes nothing the second time.

    Raises:
        NotFound: There is no such business.
    """
    before = await businesses.get(connection, id)
    after = await businesses.set_status(connection, before.id, status=status, at=admin.at)
    if after.status != before.status:
        await audit_log.write(
            connection,
            who=admin.who,
            what="business.suspend" if status == "suspended" else "business.resume",
            object_id=after.id,
            before=shown.business(before),
            after=shown.business(after),
            at=admin.at,
        )
    return after


async def change_business(
    connection: AsyncConnection, id: str, form: BusinessChange, admin: Admin
) -> Business:
    """
    Change what is kept of a business; what is so already is not written again.

    Raises:
        NotFound: There is no such business.
    """
    before = await businesses.get(connection, id)
    after = await businesses.change(connection, before.id, form.fields, at=admin.at)
    if after != before:
        await audit_log.write(
            connection,
            who=admin.who,
            what="business.change",
            object_id=after.id,
            before=shown.business(before),
            after=shown.business(after),
            at=admin.at,
        )
    return after


async def top_up(connection: AsyncConnection, business: str, form: TopUp, admin: Admin) -> Purchase:
    """
    Add credits and write the receipt.

    Raises:
        NotFound: There is no such business.
        FieldRefused: The amount paid is none of its currency.
        AlreadyCredited: The payment reference has a receipt.
        BadAmount: The balance would grow too large.
    """
    buyer = await businesses.get(connection, business)
    reference = reference_of(form, buyer)
    try:
        purchase = await purchases.top_up(
            connection,
            business=buyer.id,
            credits=form.credits,
            bonus=form.bonus_credits,
            amount_paid_minor=form.paid_minor(buyer.currency),
            currency=form.currency or buyer.currency,
            provider=PROVIDER,
            reference=reference,
            method=form.payment_method,
            user=form.user,
            note=form.note,
            at=admin.at,
        )
    except Conflict:
        before = await payments.find(connection, PROVIDER, reference or "")
        assert before is not None, "what is in conflict is there"
        raise AlreadyCredited(before) from None
    await audit_log.write(
        connection,
        who=admin.who,
        what="purchase.top_up",
        object_id=purchase.id,
        after=shown.purchase(purchase),
        at=admin.at,
    )
    return purchase


async def adjust(
    connection: AsyncConnection, business: str, form: Adjustment, admin: Admin
) -> CreditEvent:
    """
    Correct a balance by hand.

    Raises:
        NotFound: There is no such business.
        BadAmount: The balance would grow too large.
    """
    event = await purchases.adjust(
        connection,
        business=business,
        credits=form.credits,
        reason=form.reason,
        user=admin.who,
        at=admin.at,
    )
    await audit_log.write(
        connection,
        who=admin.who,
        what="business.adjust",
        object_id=event.business,
        after=shown.adjustment(event, reason=form.reason, at=admin.at),
        at=admin.at,
    )
    return event


async def acknowledge(
    connection: AsyncConnection, id: str, form: Acknowledgement, admin: Admin
) -> Alert:
    """
    Note that somebody has seen an alert; who was first stays.

    Raises:
        NotFound: There is no such alert.
    """
    alert = await alerts.acknowledge(connection, id, by=form.by or admin.who, at=admin.at)
    if alert.acknowledged_at == admin.at:
        await audit_log.write(
            connection,
            who=admin.who,
            what="alert.acknowledge",
            object_id=alert.id,
            after=shown.alert(alert),
            at=admin.at,
        )
    return alert
