"""
Paystack: mobile money and cards.

Amounts are whole minor units (pesewas for GHS) on both sides. Sources: Paystack's
"Accept payments", "Verify payments", "Webhooks" and "Refunds", read on 2026-11-15.
"""

from __future__ import annotations

import hmac
from hashlib import sha512
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
import stamina

from gateway.payments.provider import (
    DisputeSaid,
    Event,
    Order,
    ProviderAway,
    ProviderRefused,
    RefundSaid,
    RefundStatus,
    SignatureWrong,
    Verified,
    WebhookNotUnderstood,
)
from storage.payments import Paid

NAME = "paystack"
TIMEOUT_S = 15.0
ATTEMPTS = 3
WAIT_S = 0.2  # Before the second attempt, and about twice that before the third.
CHANNELS = ("mobile_money", "card")

_REFUNDS: dict[str, RefundStatus] = {
    "refund.processed": "processed",
    "refund.failed": "failed",
    "refund.pending": "pending",
    "refund.processing": "pending",
}
_KEPT = ("id", "status", "channel", "paid_at", "fees", "domain", "gateway_response")


class Paystack:
    """
    The account that a secret key opens.

    Args:
        callback_url: Where a payer is sent after paying; as Paystack's dashboard says if None.
    """

    name = NAME

    def __init__(self, secret_key: str, *, base_url: str, callback_url: str | None = None) -> None:
        assert secret_key, "an empty key would let everybody sign webhooks"
        self._key = secret_key.encode()
        self._callback_url = callback_url
        self._client = httpx2.AsyncClient(
            base_url=base_url,
            headers={"authorization": f"Bearer {secret_key}"},
            timeout=TIMEOUT_S,
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def start(self, order: Order) -> str:
        """As the seam says. A repeated attempt has the same reference, so it pays once."""
        body: dict[str, Any] = {
            "amount": order.amount_minor,
            "currency": order.currency,
            "email": order.email,
            "reference": order.reference,
            "channels": CHANNELS,
            "metadata": {"business": order.business, "purchase": order.purchase},
        }
        if self._callback_url:
            body["callback_url"] = self._callback_url
        data = await self._again("POST", "/transaction/initialize", body)
        url = data.get("authorization_url")
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            raise ProviderAway("Paystack did not say where to pay")
        return url

    async def verify(self, reference: str) -> Verified:
        """As the seam says."""
        data = await self._again("GET", f"/transaction/verify/{quote(reference, safe='')}")
        said = str(data.get("status"))
        if said != "success":
            return Verified(None, said)
        if data.get("reference") != reference:
            raise ProviderAway("Paystack told of another payment than was asked")
        return Verified(_paid(data), said)

    def read_webhook(self, body: bytes, signature: str) -> Event:
        """As the seam says; the signature is of the body's very bytes."""
        right = hmac.new(self._key, body, sha512).hexdigest()
        # Bytes: compare_digest refuses text that is not ASCII with an exception.
        if not hmac.compare_digest(right.encode(), signature.encode("utf-8", "replace")):
            raise SignatureWrong("the signature is not of this body")
        return self.event_of(body)

    def event_of(self, body: bytes) -> Event:
        """As the seam says."""
        try:
            event = msgspec.json.decode(body, type=dict[str, Any])
            kind, data = _text(event["event"])[:64], event["data"]
            return Event(kind, _reference(data), _said(kind, data))
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError) as wrong:
            raise WebhookNotUnderstood(f"a webhook is not understood: {wrong!r}") from None

    async def refund(self, reference: str, *, amount_minor: int, currency: str) -> RefundSaid:
        """As the seam says; asked once, for a second one could be paid a second time."""
        body = {"transaction": reference, "amount": amount_minor, "currency": currency}
        data = await self._ask("POST", "/refund", body)
        said = data.get("status")
        status: RefundStatus = (
            "processed" if said == "processed" else "failed" if said == "failed" else "pending"
        )
        name = data.get("refund_reference")
        return RefundSaid(reference, status, amount_minor, name and str(name))

    async def _again(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        async for attempt in stamina.retry_context(
            on=ProviderAway,
            attempts=ATTEMPTS,
            wait_initial=WAIT_S,
            wait_max=1.0,
            wait_jitter=0.2,
            timeout=None,
        ):
            with attempt:
                return await self._ask(method, path, body)
        raise AssertionError("the last attempt answers or raises")

    async def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            reply = await self._client.request(method, path, json=body)
            answer = msgspec.json.decode(reply.content, type=dict[str, Any])
        except httpx2.HTTPError as error:
            raise ProviderAway(f"Paystack does not answer: {type(error).__name__}") from None
        except msgspec.DecodeError:
            raise ProviderAway(f"Paystack answered {reply.status_code} without JSON") from None
        message = str(answer.get("message"))[:200]
        if reply.status_code >= 500 or reply.status_code in (401, 403, 408, 429):
            raise ProviderAway(f"Paystack answered {reply.status_code}: {message}")
        data = answer.get("data")
        if reply.status_code >= 300 or answer.get("status") is not True:
            raise ProviderRefused(f"Paystack refused: {message}")
        if not isinstance(data, dict):
            raise ProviderAway("Paystack answered without data")
        return data


def _said(kind: str, data: dict[str, Any]) -> Paid | RefundSaid | DisputeSaid | None:
    if kind == "charge.success":
        return _paid(data) if data["status"] == "success" else None
    if kind in _REFUNDS:
        name = data.get("refund_reference")
        return RefundSaid(
            _text(data["transaction_reference"]),
            _REFUNDS[kind],
            _minor(data["amount"]),
            name and _text(name),
        )
    if kind.startswith("charge.dispute."):
        amount = data.get("refund_amount")
        resolution = data.get("resolution") if kind == "charge.dispute.resolve" else None
        # "merchant-accepted": the payer gets the money back. "declined": we keep it.
        lost = None if resolution is None else resolution != "declined"
        name = f"dispute-{data['id']}"[:200]
        return DisputeSaid(_reference(data) or "", name, amount and _minor(amount), lost)
    return None


def _paid(data: dict[str, Any]) -> Paid:
    metadata = data.get("metadata")
    if isinstance(metadata, str):  # So it is when the payer's page had sent it.
        try:
            metadata = msgspec.json.decode(metadata)
        except msgspec.DecodeError:
            metadata = None
    told = metadata if isinstance(metadata, dict) else {}
    return Paid(
        provider=NAME,
        reference=_text(data["reference"]),
        amount_minor=_minor(data["amount"]),
        currency=_text(data["currency"]),
        business=_maybe(told.get("business")),
        purchase=_maybe(told.get("purchase")),
        method=_maybe(data.get("channel")) or "unknown",
        answer={name: data[name] for name in _KEPT if name in data},
    )


def _reference(data: dict[str, Any]) -> str | None:
    """Of the payment: at the top of a charge, inside of a dispute, beside a refund."""
    inner = data.get("transaction")
    inside = inner.get("reference") if isinstance(inner, dict) else None
    return _maybe(inside or data.get("transaction_reference") or data.get("reference"))


def _minor(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        return value
    raise ValueError("an amount is no whole number of minor units")


def _text(value: Any) -> str:
    if isinstance(value, str) and 0 < len(value) <= 200:
        return value
    raise ValueError("a text is missing or too long")


def _maybe(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 200 else None
