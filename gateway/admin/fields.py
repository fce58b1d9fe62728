"""
Fields of the forms: what each kind of text, number, amount and time must be.

Amounts are decimal strings, never JSON numbers, which a parser may have made floats of.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Any
from unicodedata import category
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)

from gateway.currency import decimals_of
from gateway.endpoints import METERED
from gateway.objects import SERVED
from metering.money import Credits
from metering.switches import known_switch
from storage.limits import MOST_PER_MINUTE


def _printable(text: str) -> str:
    # A NUL is refused by PostgreSQL, a lone surrogate by UTF-8, and a line break or a
    # change of direction would let a name forge what is printed beside it.
    if any(category(letter) in ("Cc", "Cf", "Cs") for letter in text):
        raise ValueError("should not contain control characters")
    text = text.strip()
    if not text:
        raise ValueError("should not be blank")
    return text


def _written(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError('should be a decimal string such as "77.50"')
    return value


def _credits(check: Callable[[Credits], bool], rule: str) -> PlainValidator:
    def read(value: Any) -> Credits:
        if isinstance(value, Credits):
            return value
        credits = Credits.parse(_written(value))
        if not check(credits):
            raise ValueError(rule)
        return credits

    return PlainValidator(read)


def _decimal_text(*, sign: str = "") -> WithJsonSchema:
    """What openapi.json says of an amount of credits."""
    pattern = rf"^{sign}[0-9]{{1,9}}(\.[0-9]{{1,6}})?$"
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": ["77.50"]})


def _email(text: str) -> str:
    user, at, host = text.rpartition("@")
    if not (user and at and host) or " " in text or "@" in user:
        raise ValueError("should be an address such as owner@example.com")
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("should be an IANA time zone such as Africa/Accra") from None
    return text


def _currency(code: str) -> str:
    decimals_of(code)
    return code


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        at = value
    else:
        try:
            at = datetime.fromisoformat(_written(value))
        except ValueError:
            raise ValueError("should be a time such as 2027-01-31T12:00:00Z") from None
    if at.tzinfo is None:
        raise ValueError("should say its offset, such as 2027-01-31T12:00:00Z")
    return at.astimezone(UTC)


_Text = Annotated[StrictStr, AfterValidator(_printable)]
Text200 = Annotated[_Text, Field(max_length=200)]
Text2000 = Annotated[_Text, Field(max_length=2000)]
Email = Annotated[_Text, Field(max_length=320), AfterValidator(_email)]
Phone = Annotated[StrictStr, Field(pattern=r"^\+?[0-9 ()-]{5,39}$")]
Method = Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Label = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_.:/-]{1,100}$")]
Zone = Annotated[StrictStr, Field(max_length=64), AfterValidator(_zone)]
Currency = Annotated[StrictStr, AfterValidator(_currency)]
Moment = Annotated[
    datetime,
    PlainValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Money = Annotated[str, BeforeValidator(_written)]
Months = Annotated[StrictInt, Field(ge=1, le=120)]
Switch = Annotated[StrictStr, AfterValidator(known_switch)]
Switches = Annotated[tuple[Switch, ...], Field(max_length=100)]
UpstreamName = Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
PerMinute = Annotated[StrictInt, Field(ge=1, le=MOST_PER_MINUTE)]
AtATime = Annotated[StrictInt, Field(ge=1, le=100_000)]
SomeCredits = Annotated[
    Credits, _credits(lambda c: c.micro > 0, "should be greater than 0"), _decimal_text()
]
NoDebt = Annotated[
    Credits, _credits(lambda c: c.micro >= 0, "should not be negative"), _decimal_text()
]
Signed = Annotated[Credits, _credits(bool, "should not be 0"), _decimal_text(sign="-?")]


def _served(name: str) -> str:
    known = sorted({each.name for each in METERED.values()} | {one.name for one in SERVED})
    if name not in known:
        close = get_close_matches(name, known, n=1, cutoff=0.5)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"should be one of {', '.join(known)}{meant}")
    return name


EndpointName = Annotated[StrictStr, AfterValidator(_served)]
