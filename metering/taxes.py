"""
Taxes on what a business pays: dated lines of the configuration, never constants.

A law changes on a day, so each line says from when and until when it holds. Amounts are
whole minor units of the currency paid in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from metering.money import rounded_up


@dataclass(frozen=True, slots=True)
class Tax:
    """
    One line of a receipt, such as VAT at 15 %.

    Attributes:
        percent: Of the price without taxes.
        since: The first day on which it holds; None for always.
        until: The first day on which it does not hold any more; None for no end.
        included: Whether a package's price has it in it already; else it is added.
    """

    name: str
    percent: Decimal
    since: date | None = None
    until: date | None = None
    included: bool = True

    def holds_on(self, day: date) -> bool:
        """Whether it is due for what is bought on that day."""
        return (self.since is None or self.since <= day) and (
            self.until is None or day < self.until
        )


@dataclass(frozen=True, slots=True)
class TaxLine:
    """What one tax is of one purchase, in minor units."""

    name: str
    percent: Decimal
    amount_minor: int
    included: bool


def taxed(price_minor: int, taxes: Iterable[Tax], day: date) -> tuple[int, tuple[TaxLine, ...]]:
    """
    What is to be paid for a price on a day, and the taxes in it.

    Each line is what the sum of the lines up to it, rounded up once, has more than the sum
    before it: so the lines always add up, and no rounding is hidden in the last one.

    Returns:
        The amount to pay, and the lines, both in minor units.
    """
    due = [tax for tax in taxes if tax.holds_on(day)]
    inside = sum((Fraction(tax.percent) for tax in due if tax.included), Fraction(0)) / 100
    net = Fraction(price_minor) / (1 + inside)
    lines: list[TaxLine] = []
    for is_included in (True, False):
        exact, before = Fraction(0), 0
        for tax in (tax for tax in due if tax.included is is_included):
            exact += net * Fraction(tax.percent) / 100
            upto = rounded_up(exact)
            lines.append(TaxLine(tax.name, tax.percent, upto - before, is_included))
            before = upto
    added = sum(line.amount_minor for line in lines if not line.included)
    return price_minor + added, tuple(lines)
