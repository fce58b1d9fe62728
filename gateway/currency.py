"""Money paid: a decimal of an ISO 4217 currency, and the whole minor units it is stored as."""

from __future__ import annotations

import re

from metering.money import AmountNotUnderstood

# ISO 4217, list one: every code in use, by the number of its decimals.
_CODES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD
        CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD
        GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD
        MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP
        PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS
        TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
}
_DECIMALS = {code: decimals for decimals, codes in _CODES.items() for code in codes.split()}

MOST_MINOR = 10**15 - 1

_MONEY = re.compile(r"[0-9]{1,13}(\.[0-9]{1,3})?")


class CurrencyNotKnown(ValueError):
    """A code that ISO 4217 does not list."""


def decimals_of(currency: str) -> int:
    """
    How many decimals an amount of this currency has; 2 for GHS.

    Raises:
        CurrencyNotKnown: Not an ISO 4217 code in capitals.
    """
    if currency in _DECIMALS:
        return _DECIMALS[currency]
    raise CurrencyNotKnown(
        f"{currency[:40]!r} is not a currency; write its ISO 4217 code in capitals, such as GHS"
    )


def parse_money(text: str, currency: str) -> int:
    """
    Read money paid, such as `"30.00"`, into minor units: 3000 pesewas for GHS.

    Raises:
        AmountNotUnderstood: Not a plain decimal of at least zero, or more decimals than
            the currency has: nothing is ever rounded here.
        CurrencyNotKnown: Not an ISO 4217 code.
    """
    decimals = decimals_of(currency)
    if not _MONEY.fullmatch(text):
        raise AmountNotUnderstood(
            f"{text[:40]!r} is not an amount of {currency}; write a plain decimal such as 30.00"
        )
    whole, _, part = text.partition(".")
    if len(part) > decimals:
        raise AmountNotUnderstood(f"{text!r} has more than the {decimals} decimals of {currency}")
    minor: int = int(whole) * 10**decimals + int(part.ljust(decimals, "0") or 0)
    if minor > MOST_MINOR:
        raise AmountNotUnderstood(f"{text!r} is more {currency} than can be recorded")
    return minor


def show_money(minor: int, currency: str) -> str:
    """Minor units as the currency's own decimal: `30.00`."""
    decimals = decimals_of(currency)
    if not decimals:
        return str(minor)
    whole, part = divmod(minor, 10**decimals)
    return f"{whole}.{part:0{decimals}d}"
