"""What the settings say of buying: packages, taxes, and who is paid."""

from __future__ import annotations

from gateway.payments.packages import Package, Packages
from gateway.payments.paystack import Paystack
from gateway.settings import Settings
from metering.taxes import Tax


def packages_of(settings: Settings) -> Packages:
    """[[packages]] and [[taxes]] as what is offered on a day."""
    packages = (
        Package(one.name, one.price_minor, one.currency, one.credits, one.bonus)
        for one in settings.packages
    )
    taxes = (
        Tax(one.name, one.percent, one.since, one.until, one.included) for one in settings.taxes
    )
    return Packages(packages, taxes)


def provider_of(settings: Settings) -> Paystack | None:
    """Paystack, where there is a key of it; whoever opens it closes it."""
    paystack = settings.paystack
    if paystack.secret_key is None:
        return None
    return Paystack(
        paystack.secret_key.get_secret_value(),
        base_url=paystack.base_url,
        callback_url=paystack.callback_url,
    )
