"""
What an admin fills in, checked: the bodies of the API and the options of the commands.

Amounts are decimal strings, never JSON numbers, which a parser may have made floats of.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeVar
from unicodedata import category
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictInt,
    StrictStr,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from gateway.admin.refusals import FieldRefused
from gateway.currency import decimals_of, parse_money
from gateway.endpoints import METERED
from gateway.objects import SERVED
from metering.money import Credits
from metering.switches import known_switch
from storage.limits import MOST_PER_MINUTE

Filled = TypeVar("Filled", bound="Form")


class Form(BaseModel):
    """A form: frozen, and closed to fields it does not know."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )


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
SomeCredits = Annotated[
    Credits, _credits(lambda c: c.micro > 0, "should be greater than 0"), _decimal_text()
]
NoDebt = Annotated[
    Credits, _credits(lambda c: c.micro >= 0, "should not be negative"), _decimal_text()
]
Signed = Annotated[Credits, _credits(bool, "should not be 0"), _decimal_text(sign="-?")]


class NewBusiness(Form):
    """A business to be added; what is left out is as the settings say."""

    name: Text200
    owner_email: Email
    owner_phone: Phone | None = None
    currency: Currency = "GHS"
    time_zone: Zone = "Africa/Accra"
    low_balance_threshold: NoDebt | None = None
    expires_after_months: Months | None = None
    switches: Switches = ()
    upstream: UpstreamName | None = None


class BusinessChange(Form):
    """What is to be another way of a business; what is left out stays."""

    name: Text200 | None = None
    owner_email: Email | None = None
    owner_phone: Phone | None = None
    time_zone: Zone | None = None
    low_balance_threshold: NoDebt | None = None
    expires_after_months: Months | None = None
    switches: Switches | None = None
    upstream: UpstreamName | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name: should be given, or another field to change")
        for name in self.model_fields_set - {"owner_phone", "upstream"}:
            if getattr(self, name) is None:
                raise ValueError(f"{name}: should not be null")
        return self

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that were given; a phone or an upstream of None is one to be forgotten."""
        given = {name: getattr(self, name) for name in type(self).model_fields
                 if name in self.model_fields_set}  # fmt: skip
        if "switches" in given:
            given["switches"] = frozenset(given["switches"])
        return given


def _served(name: str) -> str:
    known = sorted({each.name for each in METERED.values()} | {one.name for one in SERVED})
    if name not in known:
        raise ValueError(f"should be one of {', '.join(known)}")
    return name


EndpointName = Annotated[StrictStr, AfterValidator(_served)]


class Scopes(Form):
    """What a key may be used for; empty endpoints and models mean all of them."""

    endpoints: Annotated[tuple[EndpointName, ...], Field(max_length=100)] = ()
    models: Annotated[tuple[Label, ...], Field(max_length=100)] = ()
    features: Annotated[tuple[Label, ...], Field(max_length=100)] = ()


class NewKey(Form):
    """A key to be issued; a limit that is left out is as the settings say, a cap is none."""

    name: Text200
    scopes: Scopes = Scopes()
    default_feature: Label | None = None
    credit_cap: SomeCredits | None = None
    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None
    concurrent: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = None
    expires_at: Moment | None = None


class TopUp(Form):
    """Credits to be added, with what was paid for them."""

    credits: SomeCredits
    bonus_credits: Annotated[NoDebt, Field(json_schema_extra={"default": "0.00"})] = Credits(0)
    amount_paid: Money | None = None
    currency: Currency | None = None
    payment_reference: Text200 | None = None
    payment_method: Method = "admin_grant"
    user: Text200 | None = None
    note: Text2000 | None = None

    @model_validator(mode="after")
    def _currency_is_of_an_amount(self) -> Self:
        if self.currency is not None and self.amount_paid is None:
            raise ValueError("currency: is given and amount_paid is not")
        return self

    def paid_minor(self, currency: str) -> int:
        """
        What was paid, in whole minor units.

        Args:
            currency: The business's, for an amount that names none.

        Raises:
            FieldRefused: It is not an amount of that currency.
        """
        if self.amount_paid is None:
            return 0
        try:
            return parse_money(self.amount_paid, self.currency or currency)
        except ValueError as wrong:
            raise FieldRefused(f"amount_paid: {wrong}", param="amount_paid") from None


class Adjustment(Form):
    """A correction by hand: credits are signed, and the reason stays for ever."""

    credits: Signed
    reason: Text2000


class Acknowledgement(Form):
    """Who has seen an alert; the admin who says so when nobody is named."""

    by: Text200 | None = None


class Nothing(Form):
    """A call that says everything in its path."""


_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this",
    "string_type": "should be text",
    "int_type": "should be a whole number",
}


def filled(form: type[Filled], fields: Any) -> Filled:
    """
    Check what was filled in.

    Raises:
        FieldRefused: Names the first field that is not as it must be.
    """
    try:
        return form.model_validate(fields)
    except ValidationError as wrong:
        error = wrong.errors(include_url=False, include_context=False, include_input=False)[0]
    said = _WORDS.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    param = ".".join(str(part) for part in error["loc"])
    if not param:
        # Said about two fields at once: the text begins with the one to change.
        param, _, said = said.partition(": ")
    raise FieldRefused(f"{param[:100]}: {said}", param=param[:100])
