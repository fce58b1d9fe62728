"""Buying: from an offer to a pending purchase and the provider's page for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from gateway.errors import PaymentsUnavailable
from gateway.payments.packages import Packages
from gateway.payments.provider import Order, ProviderAway, ProviderRefused
from gateway.payments.settling import Settling
from storage import businesses, payment_checks, payments, purchases
from storage.purchases import Purchase

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bought:
    """A purchase, and where it can be paid while it is pending."""

    purchase: Purchase
    authorization_url: str | None


class Buying:
    """What can be bought, and how that begins."""

    def __init__(self, settling: Settling, packages: Packages) -> None:
        self.settling = settling
        self.packages = packages

    async def buy(self, business: str, package: str, *, user: str | None = None) -> Bought:
        """
        Begin a purchase: a pending row first, then the provider's page for it.

        Raises:
            RequestRefused: There is no such package.
            PaymentsUnavailable: The provider does not answer; nothing was paid.
        """
        provider, at = self.settling.provider, self.settling.clock()
        offer = self.packages.offer(package, at)
        async with self.settling.database.write() as connection:
            buyer = await businesses.get(connection, business)
            purchase = await payments.begin(
                connection,
                business=buyer.id,
                package=offer.package.name,
                amount_minor=offer.amount_minor,
                currency=offer.package.currency,
                credits=offer.package.credits,
                bonus=offer.package.bonus,
                tax_lines=offer.tax_lines,
                provider=provider.name,
                user=user,
                at=at,
            )
        return Bought(purchase, await self._page_for(purchase, buyer.owner_email))

    async def _page_for(self, purchase: Purchase, email: str) -> str:
        order = Order(
            reference=purchase.payment_reference,
            amount_minor=purchase.amount_paid_minor,
            currency=purchase.currency,
            email=email,
            business=purchase.business,
            purchase=purchase.id,
        )
        try:
            url = await self.settling.provider.start(order)
        except ProviderRefused as refused:
            log.warning("payment_not_started", extra={"reason": str(refused)})
            async with self.settling.database.write() as connection:
                await payments.fail(connection, purchase.id, "refused at the start")
            raise PaymentsUnavailable("the payment provider refused this purchase") from None
        except ProviderAway as away:
            log.warning("payment_not_started", extra={"reason": str(away)})
            raise PaymentsUnavailable(
                "the payment provider does not answer; nothing was paid, try again soon"
            ) from None
        async with self.settling.database.write() as connection:
            await payment_checks.started(connection, purchase.id, url)
        return url

    async def look(self, purchase: str) -> Bought:
        """
        A purchase as it is.

        Raises:
            NotFound: There is none with this id.
        """
        async with self.settling.database.read() as connection:
            found = await purchases.get(connection, purchase)
            url = await payment_checks.authorization_url(connection, found.id)
        return Bought(found, url if found.payment_status == "pending" else None)
