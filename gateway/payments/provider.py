"""
The seam to a payment provider: start, verify, read_webhook, refund.

Whoever fills it speaks to the provider and decides nothing: what was paid is credited, or
not, by `storage/payments.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from storage.payments import Paid

RefundStatus = Literal["pending", "processed", "failed"]


class ProviderError(Exception):
    """The provider did not do what was asked."""


class ProviderAway(ProviderError):
    """It did not answer, or with an error of its own: what was asked may have been done."""


class ProviderRefused(ProviderError):
    """It answered that it will not: nothing was done."""


class SignatureWrong(Exception):
    """A webhook that the provider did not sign."""


class WebhookNotUnderstood(Exception):
    """A webhook that is signed, and not of a form that we know."""


@dataclass(frozen=True, slots=True)
class Order:
    """
    What is to be paid.

    Attributes:
        reference: Ours; the provider takes each once.
        amount_minor: In minor units (pesewas) of `currency`.
    """

    reference: str
    amount_minor: int
    currency: str
    email: str
    business: str
    purchase: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What the provider says of a payment: `paid` when it was, else `said` in a word."""

    paid: Paid | None
    said: str


@dataclass(frozen=True, slots=True)
class RefundSaid:
    """
    What the provider says of money that goes back.

    Attributes:
        reference: Of the payment.
        amount_minor: In minor units of the payment's currency.
        name: The provider's own name for it, once it has one.
    """

    reference: str
    status: RefundStatus
    amount_minor: int
    name: str | None


@dataclass(frozen=True, slots=True)
class DisputeSaid:
    """A payer wants the money back; `lost` is None until that is decided."""

    reference: str
    name: str
    amount_minor: int | None
    lost: bool | None


@dataclass(frozen=True, slots=True)
class Event:
    """
    One webhook.

    Attributes:
        kind: As the provider names it.
        said: What it says of a payment, a refund or a dispute; None for what is not for us.
    """

    kind: str
    reference: str | None
    said: Paid | RefundSaid | DisputeSaid | None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Provider(Protocol):
    """A payment provider."""

    name: str

    async def start(self, order: Order) -> str:
        """
        Where the payer pays.

        Raises:
            ProviderAway, ProviderRefused
        """

    async def verify(self, reference: str) -> Verified:
        """
        Whether a payment was made.

        Raises:
            ProviderAway, ProviderRefused: It does not know the reference, for one.
        """

    def read_webhook(self, body: bytes, signature: str) -> Event:
        """
        A webhook as it came.

        Raises:
            SignatureWrong, WebhookNotUnderstood
        """

    def event_of(self, body: bytes) -> Event:
        """
        The same of a body whose signature was right when it came, and that we have kept.

        Raises:
            WebhookNotUnderstood
        """

    async def refund(self, reference: str, *, amount_minor: int, currency: str) -> RefundSaid:
        """
        Send money back.

        Raises:
            ProviderAway: It may have been sent.
            ProviderRefused: It was not.
        """
