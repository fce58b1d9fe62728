"""What an admin fills in, checked: the bodies of the API and the options of the commands."""

from __future__ import annotations

from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from gateway.admin.fields import (
    AtATime,
    Currency,
    Email,
    EndpointName,
    Label,
    Method,
    Moment,
    Money,
    Months,
    NoDebt,
    PerMinute,
    Phone,
    Signed,
    SomeCredits,
    Switches,
    Text200,
    Text2000,
    UpstreamName,
    Zone,
)
from gateway.admin.refusals import FieldRefused
from gateway.currency import parse_money
from gateway.plural import without_capital
from metering.money import Credits

Filled = TypeVar("Filled", bound="Form")


class Form(BaseModel):
    """A form: frozen, and closed to fields it does not know."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )


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


class Change(Form):
    """What is to be another way; what is left out stays."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            first = next(iter(type(self).model_fields))
            raise ValueError(f"{first}: should be given, or another field to change")
        return self

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that were given; None is one to be forgotten."""
        return {name: getattr(self, name) for name in type(self).model_fields
                if name in self.model_fields_set}  # fmt: skip


class BusinessChange(Change):
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
    def _is_not_null(self) -> Self:
        for name in self.model_fields_set - {"owner_phone", "upstream"}:
            if getattr(self, name) is None:
                raise ValueError(f"{name}: should not be null")
        return self

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that were given; a phone or an upstream of None is one to be forgotten."""
        given = super().fields
        if "switches" in given:
            given["switches"] = frozenset(given["switches"])
        return given


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
    concurrent: AtATime | None = None
    expires_at: Moment | None = None


class KeyChange(Change):
    """Limits of a key that are to be others; null is as the settings say, and no cap."""

    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None
    concurrent: AtATime | None = None
    credit_cap: SomeCredits | None = None


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
        raise refusals(wrong)[0] from None


def refusals(wrong: ValidationError) -> list[FieldRefused]:
    """Each field that is not as it must be, in our words."""
    errors = wrong.errors(include_url=False, include_context=False, include_input=False)
    return [_refusal(error) for error in errors]


def _refusal(error: ErrorDetails) -> FieldRefused:
    said = _WORDS.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    param = ".".join(str(part) for part in error["loc"])
    if not param:
        # Said about two fields at once: the text begins with the one to change.
        param, _, said = said.partition(": ")
    return FieldRefused(f"{param[:100]}: {without_capital(said)}", param=param[:100])
