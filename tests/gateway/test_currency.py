"""Money paid: whole minor units, exactly."""

from __future__ import annotations

import pytest

from gateway.currency import CurrencyNotKnown, parse_money, show_money
from metering.money import AmountNotUnderstood


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("30.00", "GHS", 3000),
        ("30", "GHS", 3000),
        ("30.5", "GHS", 3050),
        ("0.01", "GHS", 1),
        ("0", "GHS", 0),
        ("1500", "JPY", 1500),
        ("1.234", "KWD", 1234),
        ("9999999999999.99", "USD", 999_999_999_999_999),
    ],
)
def test_money_is_read_in_the_decimals_of_its_currency(text, currency, minor):
    """Two for GHS, none for JPY, three for KWD."""
    assert parse_money(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [("1.001", "GHS"), ("1.5", "JPY"), ("-1", "GHS"), ("1e3", "GHS"), ("", "GHS"), (" 1", "GHS"),
     ("NaN", "GHS"), ("1,000", "GHS"), ("٣", "GHS"), ("1.", "GHS"), ("9" * 14, "GHS"),
     ("9999999999999.999", "KWD"), ("1\n", "GHS")],
)  # fmt: skip
def test_what_is_no_amount_of_it_is_refused(text, currency):
    """Nothing is rounded, and nothing is guessed."""
    with pytest.raises(AmountNotUnderstood):
        parse_money(text, currency)


@pytest.mark.parametrize("code", ["ghs", "XXX", "GH", "", "GHSX", "DEM"])
def test_codes_that_iso_does_not_list_are_refused(code):
    """A misspelt currency would be another amount."""
    with pytest.raises(CurrencyNotKnown):
        parse_money("1", code)


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(3000, "GHS", "30.00"), (1, "GHS", "0.01"), (0, "GHS", "0.00"), (5, "JPY", "5"),
     (1234, "KWD", "1.234")],
)  # fmt: skip
def test_minor_units_are_shown_as_they_were_written(minor, currency, text):
    """And read back as the same."""
    assert show_money(minor, currency) == text
    assert parse_money(text, currency) == minor
