"""
Money that goes back: asked for by an admin, told by the provider, or disputed by a payer.

Each ends at most once in `storage.refunds.finish`, which takes the credits back.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.payments.provider import (
    DisputeSaid,
    Provider,
    ProviderAway,
    ProviderRefused,
    RefundSaid,
)
from storage import audit_log, payment_problems, payments, refunds
from storage.database import Database
from storage.errors import BadAmount, Conflict
from storage.purchases import Purchase
from storage.refunds import Refund, Status

log = logging.getLogger(__name__)

Outcome = tuple[str, str | None]
"""What came of a webhook, and whose credits changed."""


async def ask(
    database: Database,
    provider: Provider | None,
    refund: Refund,
    purchase: Purchase,
    at: datetime,
) -> Refund:
    """
    Ask the provider for a refund that was begun; what an admin granted asks nobody.

    Raises:
        Conflict: The provider refused; nothing went back and nothing is taken.
    """
    if provider is None or purchase.provider != provider.name:
        if purchase.provider != "admin":
            await _failed(database, refund, "its provider is not set up here", at)
        said = RefundSaid(purchase.payment_reference, "processed", refund.amount_minor, None)
    else:
        try:
            said = await provider.refund(
                purchase.payment_reference,
                amount_minor=refund.amount_minor,
                currency=purchase.currency,
            )
        except ProviderRefused as refused:
            await _failed(database, refund, str(refused), at)
        except ProviderAway as away:
            return await _in_doubt(database, provider.name, refund, str(away), at)
    async with database.write() as connection:
        await _follow(connection, refund, said, at)
        return await refunds.get(connection, refund.id)


async def _failed(database: Database, refund: Refund, why: str, at: datetime) -> Any:
    async with database.write() as connection:
        await refunds.fail(connection, refund.id, at)
        await _audit(connection, "refund.failed", refund, "provider", at)
    raise Conflict(f"nothing was refunded: {why}")


async def _in_doubt(
    database: Database, provider: str, refund: Refund, why: str, at: datetime
) -> Refund:
    """The provider may have sent the money: a person looks, unless a webhook says so first."""
    log.warning("refund_in_doubt", extra={"refund": refund.id, "reason": why})
    async with database.write() as connection:
        await payment_problems.note(
            connection,
            provider=provider,
            reference=refund.id,
            why="refund",
            purchase=refund.purchase,
            refund=refund.id,
            expected={"amount_minor": refund.amount_minor},
            found={"said": why},
            at=at,
        )
    return refund


async def refunded(
    connection: AsyncConnection, provider: str, said: RefundSaid, at: datetime
) -> Outcome:
    """
    Do what the provider says of a refund, ours or one of its own dashboard.

    Raises:
        BadAmount: More than was paid.
    """
    purchase = await payments.find(connection, provider, said.reference)
    if purchase is None:
        return "of a payment that nobody knows", None
    await refunds.lock(connection, purchase.id)
    known = await refunds.of_purchase(connection, purchase.id)
    refund = _meant(known, said)
    if refund is None:
        if said.status == "failed" or purchase.payment_status != "completed":
            return "nothing to take back", None
        refund = await refunds.begin(
            connection,
            purchase.id,
            kind="refund",
            status="pending",
            amount_minor=said.amount_minor,
            who=provider,
            reason="refunded at the provider",
            provider_reference=said.name,
            at=at,
        )
    await _follow(connection, refund, said, at)
    return f"refund {said.status}", purchase.business


def _meant(known: list[Refund], said: RefundSaid) -> Refund | None:
    """Which refund the provider speaks of: by its name, else by the amount, open ones first."""
    if said.name:
        for one in known:
            if one.provider_reference == said.name:
                return one
    same = [one for one in known if one.amount_minor == said.amount_minor]
    is_open = [one for one in same if one.status in ("asked", "pending")]
    unnamed = [one for one in is_open if one.kind == "dispute" or one.provider_reference is None]
    if unnamed:
        return unnamed[0]
    # A dispute that was lost is paid out as a refund; it was taken back already. And an event
    # without a name cannot be told from the one before it.
    done = [
        one
        for one in same
        if one.status == "processed" and (one.kind == "dispute" or not said.name)
    ]
    return done[0] if done else None


async def _follow(
    connection: AsyncConnection, refund: Refund, said: RefundSaid, at: datetime
) -> None:
    if refund.kind == "refund" and refund.status in ("asked", "pending"):
        status: Status = "pending" if said.status == "pending" else "asked"
        await refunds.told(connection, refund.id, status, said.name)
    if said.status == "processed":
        finished = await refunds.finish(connection, refund.id, at)
        if finished is not None:
            await _audit(connection, "refund.processed", finished, "provider", at)
            await _decided(connection, refund, at)
    elif said.status == "failed" and await refunds.fail(connection, refund.id, at):
        log.warning("refund_failed", extra={"refund": refund.id, "purchase": refund.purchase})
        await _audit(connection, "refund.failed", refund, "provider", at)
        await _decided(connection, refund, at)


async def _decided(connection: AsyncConnection, refund: Refund, at: datetime) -> None:
    """The provider has said what a person was to find out."""
    await payment_problems.settled(connection, refund.id, at)


async def disputed(
    connection: AsyncConnection, provider: str, said: DisputeSaid, at: datetime
) -> Outcome:
    """Note a dispute; lost, the credits are taken back."""
    purchase = await payments.find(connection, provider, said.reference)
    if purchase is None:
        return "of a payment that nobody knows", None
    await refunds.lock(connection, purchase.id)
    known = await refunds.of_purchase(connection, purchase.id)
    dispute = next((one for one in known if one.provider_reference == said.name), None)
    if dispute is None:
        try:
            dispute = await refunds.begin(
                connection,
                purchase.id,
                kind="dispute",
                status="pending",
                amount_minor=said.amount_minor,
                who=provider,
                reason="disputed by the payer",
                provider_reference=said.name,
                at=at,
            )
        except (Conflict, BadAmount) as refused:
            return f"nothing to take back: {refused}", None
        await _audit(connection, "purchase.disputed", dispute, provider, at)
        log.warning("payment_disputed", extra={"purchase": purchase.id, "dispute": said.name})
    if said.lost is None:
        return "dispute noted", None
    if not said.lost:
        if await refunds.fail(connection, dispute.id, at):
            await _audit(connection, "dispute.won", dispute, provider, at)
        return "dispute won", None
    finished = await refunds.finish(connection, dispute.id, at)
    if finished is not None:
        log.warning("dispute_lost", extra={"purchase": purchase.id, "dispute": said.name})
        await _audit(connection, "dispute.lost", finished, provider, at)
    return "dispute lost", purchase.business


async def _audit(
    connection: AsyncConnection, what: str, refund: Refund, who: str, at: datetime
) -> None:
    after = asdict(refund) | {"taken": str(refund.taken)}
    for name in ("created_at", "finished_at"):
        after[name] = after[name] and after[name].isoformat()
    await audit_log.write(
        connection, who=who, what=what, object_id=refund.purchase, after=after, at=at
    )
