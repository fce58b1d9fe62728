"""Taxes: dated lines that always add up to what is paid."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as some

from metering.taxes import Tax, taxed

VAT = Tax("VAT", Decimal(15), since=date(2026, 1, 1))
NHIL = Tax("NHIL", Decimal("2.5"))
GETFUND = Tax("GETFund", Decimal("2.5"))
COVID = Tax("COVID-19 levy", Decimal(1), until=date(2026, 1, 1))
GHANA = (VAT, NHIL, GETFUND, COVID)


def test_a_price_with_its_taxes_in_it_stays_the_price() -> None:
    """GHS 30.00 in 2026: 20 % of 25.00, and the lines add up to 5.00, to the pesewa."""
    amount, lines = taxed(3000, GHANA, date(2026, 11, 22))

    assert amount == 3000
    assert [(line.name, line.amount_minor) for line in lines] == [
        ("VAT", 375), ("NHIL", 63), ("GETFund", 62),
    ]  # fmt: skip


def test_a_line_holds_from_its_day_until_the_day_that_is_named() -> None:
    """The last day of 2025 has the levy and no VAT; the first of 2026 the other way round."""
    names = [
        [line.name for line in taxed(3000, GHANA, day)[1]]
        for day in (date(2025, 12, 31), date(2026, 1, 1))
    ]

    assert names == [["NHIL", "GETFund", "COVID-19 levy"], ["VAT", "NHIL", "GETFund"]]


def test_a_tax_that_is_not_included_is_added() -> None:
    """Of the price without taxes, rounded up to the pesewa once."""
    on_top = Tax("VAT", Decimal(15), included=False)

    assert taxed(3001, [on_top], date(2026, 1, 1))[0] == 3001 + 451
    amount, (inside, added) = taxed(3000, [NHIL, on_top], date(2026, 1, 1))
    assert (amount, inside.amount_minor, added.amount_minor) == (3440, 74, 440)


def test_no_tax_is_no_line() -> None:
    """Where none is configured, nothing is made up."""
    assert taxed(3000, (), date(2026, 1, 1)) == (3000, ())


@given(
    price=some.integers(1, 10**12),
    percents=some.lists(some.decimals("0.01", "99", places=2), max_size=5),
    included=some.booleans(),
)
def test_lines_add_up_to_the_tax_rounded_up_once(
    price: int, percents: list[Decimal], included: bool
) -> None:
    """Whatever the rates: less than a unit above the exact sum, and no line below zero."""
    taxes = [Tax(f"t{n}", percent, included=included) for n, percent in enumerate(percents)]

    amount, lines = taxed(price, taxes, date(2026, 1, 1))

    total = sum(line.amount_minor for line in lines)
    whole = sum(percents, Decimal(0)) / 100
    # Held against whole numbers: total − 1 < price × rate / (1 + rate, if included) ≤ total.
    over = (1 + whole) if included else Decimal(1)
    assert (total - 1) * over < price * whole <= total * over or not percents
    assert all(line.amount_minor >= 0 for line in lines)
    assert amount == price + (0 if included else total)
