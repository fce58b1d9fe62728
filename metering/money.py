"""
Credits and Usd: whole numbers in a type, and every rounding in the house.

A credit is 1,000,000 micro-credits; a dollar is 10**12 pico-dollars, in which every
published price of one token is a whole number. Nothing here ever sees a float.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

MICRO = 1_000_000
PICO = 1_000_000_000_000

# Lua counts in doubles, which are exact below 2**53; amounts and their sums stay
# an order of magnitude under it.
MOST_MICROCREDITS = 10**15 - 1

_AMOUNT = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,6})?")


class AmountNotUnderstood(ValueError):
    """An amount is not a plain decimal number within bounds."""


@dataclass(frozen=True, slots=True, order=True)
class Credits:
    """An amount of credits, in whole micro-credits."""

    micro: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read a decimal string such as `"77.50"` or `"-0.000001"`.

        Raises:
            AmountNotUnderstood: More than 9 digits before or 6 after the point, an
                exponent, a sign of plus, `NaN`, blanks, or minus zero.
        """
        if not _AMOUNT.fullmatch(text):
            raise AmountNotUnderstood(
                f"{text[:40]!r} is not an amount of credits; write a plain decimal with at most "
                "9 digits before and 6 after the point, such as 77.50"
            )
        whole, _, part = text.lstrip("-").partition(".")
        micro = int(whole) * MICRO + int(part.ljust(6, "0") or 0)
        if text.startswith("-"):
            if micro == 0:
                raise AmountNotUnderstood("-0 is not an amount of credits; write 0")
            micro = -micro
        return cls(micro)

    def __add__(self, other: Credits) -> Credits:
        return Credits(self.micro + other.micro)

    def __sub__(self, other: Credits) -> Credits:
        return Credits(self.micro - other.micro)

    def __neg__(self) -> Credits:
        return Credits(-self.micro)

    def __mul__(self, times: int) -> Credits:
        return Credits(self.micro * times)

    def share(self, part: int, whole: int) -> Credits:
        """What `part` of `whole` is of it, rounded up once to a whole micro-credit."""
        return Credits(rounded_up(Fraction(self.micro * part, whole)))

    def __bool__(self) -> bool:
        return self.micro != 0

    def __str__(self) -> str:
        """Decimal with at least two places: `77.50`, `0.000001`."""
        return _decimal(self.micro, MICRO, 6)


@dataclass(frozen=True, slots=True, order=True)
class Usd:
    """An amount of dollars, in whole pico-dollars."""

    pico: int

    def __add__(self, other: Usd) -> Usd:
        return Usd(self.pico + other.pico)

    def __sub__(self, other: Usd) -> Usd:
        return Usd(self.pico - other.pico)

    def __bool__(self) -> bool:
        return self.pico != 0

    def __str__(self) -> str:
        """Decimal with at least two places: `0.0000125`."""
        return _decimal(self.pico, PICO, 12)

    def in_credits(self, credits_per_usd: Fraction) -> Credits:
        """The price in credits, rounded up once to a whole micro-credit."""
        scaled = self.pico * credits_per_usd.numerator * MICRO
        return Credits(-(-scaled // (credits_per_usd.denominator * PICO)))


def rounded_up(amount: Fraction) -> int:
    """The next whole number that is not less."""
    return -(-amount.numerator // amount.denominator)


def _decimal(amount: int, one: int, places: int) -> str:
    sign = "-" if amount < 0 else ""
    whole, part = divmod(abs(amount), one)
    decimals = f"{part:0{places}d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{decimals}"
