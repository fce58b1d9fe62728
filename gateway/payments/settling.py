"""
Hearing of payments: each is credited exactly once, whichever way it is heard of.

A payment is told by a webhook, by the payer who returns, by the sweep of pending purchases
or by `gateway payments reconcile`. All of them end in `storage.payments.settle`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import PaymentsOff
from gateway.payments import refunding
from gateway.payments.provider import (
    DisputeSaid,
    Provider,
    ProviderAway,
    ProviderRefused,
    RefundSaid,
    Verified,
    WebhookNotUnderstood,
)
from gateway.payments.refunding import disputed, refunded
from storage import payment_checks, payment_problems, payments, purchases, refunds, webhook_events
from storage.database import Database
from storage.errors import BadAmount, StorageError
from storage.payments import Paid, Settled
from storage.purchases import Purchase
from storage.webhook_events import StoredEvent

log = logging.getLogger(__name__)

APPLIED_WITHIN_S = 3.0  # SQL has it already; the crediting loop brings it to Redis soon anyway.
LONGEST_WAIT = timedelta(hours=6)
GIVEN_UP_AFTER = timedelta(hours=96)  # Paystack repeats a webhook for 72 hours.
AT_ONCE = 100

Apply = Callable[[str], Awaitable[object]]


class Settling:
    """
    What a provider tells, and what it is asked.

    Args:
        provider: None when nothing can be bought here.
        apply: Brings the credit events of a business to Redis.
        clock: The time, aware.
    """

    def __init__(
        self,
        database: Database,
        provider: Provider | None,
        *,
        apply: Apply,
        clock: Callable[[], datetime],
    ) -> None:
        self.database = database
        self._provider = provider
        self._apply_to = apply
        self.clock = clock

    @property
    def provider(self) -> Provider:
        """
        Who is paid.

        Raises:
            PaymentsOff: Nothing can be bought here.
        """
        if self._provider is None:
            raise PaymentsOff("nothing can be bought here: [paystack] secret_key is not set")
        return self._provider

    @property
    def is_on(self) -> bool:
        """Whether anything can be bought here."""
        return self._provider is not None

    async def heard(self, body: bytes, signature: str) -> str | None:
        """
        Keep a webhook before anything is made of it.

        Returns:
            The id to `process`; None when this very body is kept already.

        Raises:
            SignatureWrong: The provider did not send it; nothing was kept.
            WebhookNotUnderstood: It did, and we do not know the form; nothing was kept.
        """
        provider = self.provider
        event = provider.read_webhook(body, signature)
        digest = webhook_events.digest_of(body)
        async with self.database.read() as connection:
            # Most repeated deliveries end here, without a write.
            if await webhook_events.known(connection, provider.name, digest):
                return None
        async with self.database.write() as connection:
            return await webhook_events.keep(
                connection,
                provider=provider.name,
                kind=event.kind,
                reference=event.reference,
                body=body,
                at=self.clock(),
            )

    async def process(self, id: str) -> None:
        """
        Do what a kept webhook says, in one transaction, however often it is asked.

        Raises:
            StorageError: SQL is away; the webhook stays to be processed.
        """
        at, business = self.clock(), None
        try:
            async with self.database.write() as connection:
                stored = await webhook_events.take(connection, id)
                if stored is None:
                    return
                outcome, business = await self._act(connection, stored, at)
                await webhook_events.processed(connection, id, outcome, at)
        except BadAmount as wrong:
            await self._too_much(id, str(wrong), at)
        if business is not None:
            await self.apply(business)

    async def process_waiting(self) -> int:
        """Process what was kept and not processed, the oldest first; how many there were."""
        count, after = 0, None
        while True:
            async with self.database.read() as connection:
                found = await webhook_events.waiting(connection, after=after, limit=AT_ONCE)
            for event in found:
                try:
                    await self.process(event.id)
                except Exception:
                    # One webhook must not keep those behind it waiting; it stays in sight.
                    log.exception("webhook_not_processed", extra={"event": event.id})
            count += len(found)
            if len(found) < AT_ONCE:
                return count
            after = found[-1].id

    async def _act(
        self, connection: AsyncConnection, stored: StoredEvent, at: datetime
    ) -> tuple[str, str | None]:
        """What came of a webhook, and whose credits changed."""
        try:
            said = self.provider.event_of(stored.body).said
        except WebhookNotUnderstood as wrong:
            return f"not understood: {wrong}", None
        if isinstance(said, Paid):
            settled = await payments.settle(connection, said, at)
            _tell(settled, said)
            whose = settled.purchase.business if settled.purchase else None
            return settled.outcome, whose
        if isinstance(said, RefundSaid):
            return await refunded(connection, self.provider.name, said, at)
        if isinstance(said, DisputeSaid):
            return await disputed(connection, self.provider.name, said, at)
        return "not for us", None

    async def _too_much(self, id: str, reason: str, at: datetime) -> None:
        async with self.database.write() as connection:
            stored = await webhook_events.take(connection, id)
            if stored is None:
                return
            said = self.provider.event_of(stored.body).said
            reference = stored.reference or ""
            bought = await payments.find(connection, stored.provider, reference)
            if isinstance(said, Paid):
                await payments.note_too_much(connection, bought, said, at)
            else:
                await payment_problems.note(
                    connection,
                    provider=stored.provider,
                    reference=reference,
                    why="refund",
                    purchase=bought.id if bought else None,
                    expected={},
                    found={"said": reason},
                    at=at,
                )
            await webhook_events.processed(connection, id, f"problem: {reason}", at)

    async def returned(self, reference: str) -> Purchase | None:
        """
        A payer came back: ask the provider, if that is still to be known.

        Returns:
            The purchase as it is then; None when nothing has this reference.
        """
        async with self.database.read() as connection:
            purchase = await payments.find(connection, self.provider.name, reference)
        if purchase is None or purchase.payment_status != "pending":
            return purchase
        await self.check(purchase, checks=0)
        async with self.database.read() as connection:
            return await purchases.get(connection, purchase.id)

    async def check(self, purchase: Purchase, *, checks: int) -> str:
        """
        Ask the provider about a pending purchase, and credit it if it was paid.

        Args:
            checks: How often it was asked before; the more, the later it is asked again.

        Returns:
            credited, already, problem, pending, failed or away.
        """
        at = self.clock()
        try:
            verified = await self.provider.verify(purchase.payment_reference)
        except ProviderAway as away:
            log.warning("payment_not_verified", extra={"reason": str(away)})
            await self._later(purchase, "away", checks, at)
            return "away"
        except ProviderRefused:
            verified = Verified(None, "not known there")
        if verified.paid is None:
            return await self._unpaid(purchase, verified.said, checks, at)
        return await self._paid(purchase, verified.paid, at)

    async def _paid(self, purchase: Purchase, paid: Paid, at: datetime) -> str:
        try:
            async with self.database.write() as connection:
                settled = await payments.settle(connection, paid, at)
                if settled.outcome == "problem":
                    await payment_checks.end(connection, purchase.id, "a person decides")
        except BadAmount:
            async with self.database.write() as connection:
                await payments.note_too_much(connection, purchase, paid, at)
                await payment_checks.end(connection, purchase.id, "a person decides")
            return "problem"
        _tell(settled, paid)
        await self.apply(purchase.business)
        return settled.outcome

    async def _unpaid(self, purchase: Purchase, said: str, checks: int, at: datetime) -> str:
        # "failed" there is an attempt: the payer may try again on the same page. So only
        # time ends a purchase, and never while the provider does not answer.
        if at - purchase.created_at < GIVEN_UP_AFTER:
            await self._later(purchase, said, checks, at)
            return "pending"
        async with self.database.write() as connection:
            await payments.fail(connection, purchase.id, said)
        return "failed"

    async def _later(self, purchase: Purchase, said: str, checks: int, at: datetime) -> None:
        wait = min(timedelta(minutes=1) * 2 ** min(checks, 10), LONGEST_WAIT)
        async with self.database.write() as connection:
            await payment_checks.asked_again_at(connection, purchase.id, said, at + wait)

    async def refund(self, id: str) -> None:
        """
        Ask the provider for a refund that was begun, and take the credits back once it is made.

        Raises:
            Conflict: The provider refused it.
        """
        async with self.database.read() as connection:
            refund = await refunds.get(connection, id)
            bought = await purchases.get(connection, refund.purchase)
        await refunding.ask(self.database, self._provider, refund, bought, self.clock())
        await self.apply(bought.business)

    async def pending(
        self, *, due_only: bool = True, after: str = ""
    ) -> list[tuple[Purchase, int]]:
        """A page of pending purchases to `check`, each with how often that was done."""
        at = self.clock() if due_only else None
        async with self.database.read() as connection:
            return await payment_checks.due(
                connection, at=at, provider=self.provider.name, after=after, limit=AT_ONCE
            )

    async def apply(self, business: str) -> None:
        """Bring credits to Redis; what cannot be now is done by the crediting loop."""
        try:
            async with asyncio.timeout(APPLIED_WITHIN_S):
                await self._apply_to(business)
        except (StorageError, TimeoutError):
            log.warning("credits_not_applied_yet", extra={"business": business})


def _tell(settled: Settled, paid: Paid) -> None:
    noted = {"reference": paid.reference, "amount_minor": paid.amount_minor}
    if settled.outcome == "credited":
        log.info("payment_credited", extra=noted)
    elif settled.outcome == "problem":
        log.warning("payment_waits_for_a_person", extra=noted)
