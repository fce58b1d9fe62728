"""Buying credits and hearing of payments, and how they are made from the settings."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.background.pending_payments import PendingPayments
from gateway.loops import Loops
from gateway.payments.buying import Buying
from gateway.payments.settling import Settling
from gateway.settings import Settings
from gateway.settings_payments import packages_of, provider_of
from gateway.stores import Ledger, Stores


@dataclass(frozen=True)
class Selling:
    """Buying credits, and the loop that finds payments nobody told us of."""

    buying: Buying
    pending: PendingPayments

    @property
    def settling(self) -> Settling:
        """What providers tell, and are asked."""
        return self.buying.settling


def open_selling(
    stack: AsyncExitStack, settings: Settings, stores: Stores, ledger: Ledger, loops: Loops
) -> Selling:
    provider = provider_of(settings)
    if provider is not None:
        stack.push_async_callback(provider.close)
    settling = Settling(
        stores.database,
        provider,
        apply=loops.crediting.apply,
        clock=lambda: datetime.now(UTC),
    )
    pending = PendingPayments(settling, runs_here=ledger.leases.of_whole("payments"))
    return Selling(Buying(settling, packages_of(settings)), pending)
