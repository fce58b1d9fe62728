"""What a business can buy, and what it pays for it on a day, taxes included."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.currency import show_money
from gateway.errors import RequestRefused
from metering.money import Credits
from metering.taxes import Tax, taxed

Shown = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Package:
    """
    Credits for a price.

    Attributes:
        price_minor: In minor units of `currency`; what taxes add to it comes on top.
    """

    name: str
    price_minor: int
    currency: str
    credits: Credits
    bonus: Credits


@dataclass(frozen=True, slots=True)
class Offer:
    """A package on a day: what is to be paid, and the tax lines of its receipt."""

    package: Package
    amount_minor: int
    tax_lines: tuple[Shown, ...]

    @property
    def shown(self) -> Shown:
        """As a buyer sees it before it leaves to pay."""
        package = self.package
        return {
            "name": package.name,
            "price": show_money(package.price_minor, package.currency),
            "currency": package.currency,
            "to_pay": show_money(self.amount_minor, package.currency),
            "taxes": list(self.tax_lines),
            "credits": str(package.credits),
            "bonus_credits": str(package.bonus),
            "credits_in_all": str(package.credits + package.bonus),
        }


class Packages:
    """The packages of the settings, in their order."""

    def __init__(self, packages: Iterable[Package], taxes: Iterable[Tax]) -> None:
        self._packages = {package.name: package for package in packages}
        self._taxes = tuple(taxes)

    def offers(self, at: datetime) -> list[Offer]:
        """Everything that can be bought."""
        return [self._offer(package, at) for package in self._packages.values()]

    def offer(self, name: str, at: datetime) -> Offer:
        """
        One package.

        Raises:
            RequestRefused: There is none of this name; the text has those that there are.
        """
        if name not in self._packages:
            there = ", ".join(self._packages) or "none"
            raise RequestRefused(
                f"there is no package {ascii(name[:100])}; there is {there}", param="package"
            )
        return self._offer(self._packages[name], at)

    def _offer(self, package: Package, at: datetime) -> Offer:
        amount, lines = taxed(package.price_minor, self._taxes, at.date())
        shown = tuple(
            {
                "name": line.name,
                "percent": str(line.percent),
                "amount": show_money(line.amount_minor, package.currency),
                "included": line.included,
            }
            for line in lines
        )
        return Offer(package, amount, shown)
