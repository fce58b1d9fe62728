"""Amounts are whole numbers, read strictly and rounded up once."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.money import MICRO, MOST_MICROCREDITS, PICO, AmountNotUnderstood, Credits, Usd


@pytest.mark.parametrize(
    ("text", "micro"),
    [("77.50", 77_500_000), ("-0.000001", -1), ("0", 0), ("999999999.999999", MOST_MICROCREDITS)],
)
def test_plain_decimal_is_read_to_the_micro_credit(text: str, micro: int) -> None:
    """Six places are exact."""
    assert Credits.parse(text).micro == micro


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "+1", "1e3", "NaN", "inf", "-0", "-0.00", "1.", ".5", "1,5", "1_0",
     "0.0000001", "1000000000", "١", "1\n", "0x1", "--1"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    """An amount has one spelling that nobody can misread."""
    with pytest.raises(AmountNotUnderstood):
        Credits.parse(text)


@given(st.integers(-MOST_MICROCREDITS, MOST_MICROCREDITS))
def test_amount_that_is_written_is_read_back(micro: int) -> None:
    """What the API shows can be sent to it again."""
    assert Credits.parse(str(Credits(micro))) == Credits(micro)


def test_amount_shows_at_least_two_places() -> None:
    """Money looks like money, and no digit is lost."""
    assert [str(Credits(micro)) for micro in (77_500_000, 1, -1, 0)] == [
        "77.50",
        "0.000001",
        "-0.000001",
        "0.00",
    ]
    assert str(Usd(12_500_000)) == "0.0000125"


def test_amounts_add_up_and_compare() -> None:
    """Credits count like numbers and are true when there are some."""
    assert Credits(5) + Credits(3) - Credits(1) * 2 == -Credits(-6)
    assert max(Usd(1), Usd(2)) - Usd(1) + Usd(1) == Usd(2)
    assert (bool(Credits(0)), bool(Usd(0)), bool(Usd(1))) == (False, False, True)


@given(
    st.integers(0, 10**18),
    st.fractions(min_value=Fraction(1, 1000), max_value=10_000, max_denominator=10**6),
)
def test_cost_in_credits_is_the_exact_price_rounded_up_once(pico: int, rate: Fraction) -> None:
    """The business never pays less than the price, nor a whole micro-credit more."""
    exact = Fraction(pico, PICO) * rate * MICRO

    rounded = Usd(pico).in_credits(rate).micro

    assert exact <= rounded < exact + 1
