"""
A stub Paystack over a real socket: `gateway dev` sells with it, and tests script it.

Its page pays at once. What a test scripts goes wrong as it does in the world: webhooks that
are lost, doubled, reordered, late or forged, payments that are short or of another currency,
a verify that answers 500. It was written beside Paystack's documentation, not beside our
own client, so that both cannot share one mistake.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha512
from typing import Any, Self
from urllib.parse import urlencode

import httpx2

from gateway.dev.stub_server import Receive, Scope, Send, serving

SECRET_KEY = "sk_test_stub_0123456789012345678901234567890"

Reply = tuple[int, dict[str, Any] | str]


@dataclass
class Payment:
    """One transaction at Paystack."""

    reference: str
    amount: int
    currency: str
    metadata: Any
    email: str
    callback_url: str | None
    id: int
    status: str = "abandoned"
    channel: str = "mobile_money"
    refunded: int = 0

    @property
    def data(self) -> dict[str, Any]:
        """As verify and charge.success tell it."""
        return {
            "id": self.id,
            "domain": "test",
            "status": self.status,
            "reference": self.reference,
            "amount": self.amount,
            "currency": self.currency,
            "channel": self.channel,
            "metadata": self.metadata,
            "gateway_response": "Approved",
            "paid_at": "2026-11-22T12:00:00.000Z",
            "fees": 58,
            "customer": {"email": self.email},
        }


@dataclass(frozen=True)
class Webhook:
    """One delivery, as it goes over the wire."""

    body: bytes
    signature: str


@dataclass
class StubPaystack:
    """
    Attributes:
        webhook_url: Where webhooks go; None loses them all.
        fails: How many of the next calls of an operation (initialize, verify, refund) are
            answered 500.
        refunds_are: What a refund is when it is asked for: pending, processed, refused.
    """

    secret_key: str = SECRET_KEY
    webhook_url: str | None = None
    origin: str = ""
    payments: dict[str, Payment] = field(default_factory=dict)
    fails: dict[str, int] = field(default_factory=dict)
    refunds_are: str = "pending"
    asked: list[str] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def serving(cls, *, webhook_url: str | None = None, port: int = 0) -> AsyncIterator[Self]:
        """A stub on a port of its own, until the block ends."""
        stub = cls(webhook_url=webhook_url)
        async with serving(stub, host="127.0.0.1", port=port) as origin:
            stub.origin = origin
            yield stub

    # What a test or a payer does.

    def pay(
        self, reference: str, *, amount: int | None = None, currency: str | None = None
    ) -> Webhook:
        """The payer pays, what is asked or something else; the webhook of it is answered."""
        payment = self.payments[reference]
        payment.status = "success"
        payment.amount = payment.amount if amount is None else amount
        payment.currency = currency or payment.currency
        return self.event("charge.success", payment.data)

    def refund_event(
        self, reference: str, kind: str, *, amount: int | None = None, name: str | None = None
    ) -> Webhook:
        """refund.processed, refund.failed or refund.pending."""
        payment = self.payments[reference]
        data = {
            "status": kind.removeprefix("refund."),
            "transaction_reference": reference,
            "refund_reference": name,
            "amount": str(payment.amount if amount is None else amount),
            "currency": payment.currency,
            "domain": "test",
        }
        return self.event(kind, data)

    def dispute_event(
        self,
        reference: str,
        kind: str,
        *,
        resolution: str | None = None,
        amount: int | None = None,
        id: int = 5,
    ) -> Webhook:
        """charge.dispute.create, .remind or .resolve."""
        payment = self.payments[reference]
        data = {
            "id": id,
            "refund_amount": payment.amount if amount is None else amount,
            "currency": payment.currency,
            "status": "resolved" if resolution else "awaiting-merchant-feedback",
            "resolution": resolution,
            "domain": "test",
            "transaction": {"reference": reference, "amount": payment.amount},
        }
        return self.event(kind, data)

    def event(self, kind: str, data: dict[str, Any]) -> Webhook:
        """A webhook with the signature that Paystack would give it."""
        body = json.dumps({"event": kind, "data": data}).encode()
        return Webhook(body, self.signature(body))

    def signature(self, body: bytes) -> str:
        """HMAC-SHA512 of the raw body."""
        return hmac.new(self.secret_key.encode(), body, sha512).hexdigest()

    async def deliver(self, *webhooks: Webhook, times: int = 1) -> list[int]:
        """Send webhooks, all at once, each so often; the statuses they were answered."""
        if self.webhook_url is None:
            return []
        limits = httpx2.Limits(max_connections=20)
        async with httpx2.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:
            sent = [self._send(client, one) for one in webhooks for _ in range(times)]
            return list(await asyncio.gather(*sent))

    async def _send(self, client: httpx2.AsyncClient, webhook: Webhook) -> int:
        assert self.webhook_url is not None
        headers = {
            "x-paystack-signature": webhook.signature,
            "content-type": "application/json",
        }
        reply = await client.post(self.webhook_url, content=webhook.body, headers=headers)
        return reply.status_code

    # What it serves.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, said = await self._answer(scope, body)
        headers = [(b"content-type", b"application/json")]
        if isinstance(said, str):
            headers = [(b"location", said.encode())]
        content = b"" if isinstance(said, str) else json.dumps(said).encode()
        headers.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, scope: Scope, body: bytes) -> Reply:
        path = scope["path"]
        if path.startswith("/checkout/"):
            return await self._checkout(path.removeprefix("/checkout/"))
        authorization = dict(scope["headers"]).get(b"authorization", b"")
        if authorization != f"Bearer {self.secret_key}".encode():
            return 401, {"status": False, "message": "Invalid key"}
        operation = path.strip("/").split("/")[1 if path.startswith("/transaction") else 0]
        self.asked.append(operation)
        if self.fails.get(operation, 0) > 0:
            self.fails[operation] -= 1
            return 500, {"status": False, "message": "An error occurred"}
        if path == "/transaction/initialize":
            return self._initialize(json.loads(body))
        if path.startswith("/transaction/verify/"):
            return self._verify(path.removeprefix("/transaction/verify/"))
        if path == "/refund":
            return self._refund(json.loads(body))
        return 404, {"status": False, "message": "Not found"}

    def _initialize(self, asked: dict[str, Any]) -> Reply:
        reference = asked["reference"]
        if reference in self.payments:
            return 400, {"status": False, "message": "Duplicate Transaction Reference"}
        self.payments[reference] = Payment(
            reference=reference,
            amount=int(asked["amount"]),
            currency=asked["currency"],
            metadata=asked["metadata"],
            email=asked["email"],
            callback_url=asked.get("callback_url"),
            id=4_000_000_000 + len(self.payments),
            channel=asked["channels"][0],
        )
        data = {
            "authorization_url": f"{self.origin}/checkout/{reference}",
            "access_code": "stub",
            "reference": reference,
        }
        return 200, {"status": True, "message": "Authorization URL created", "data": data}

    def _verify(self, reference: str) -> Reply:
        payment = self.payments.get(reference)
        if payment is None:
            return 404, {"status": False, "message": "Transaction reference not found."}
        return 200, {"status": True, "message": "Verification successful", "data": payment.data}

    def _refund(self, asked: dict[str, Any]) -> Reply:
        payment = self.payments.get(asked["transaction"])
        amount = int(asked["amount"])
        if (
            payment is None
            or payment.status != "success"
            or payment.refunded + amount > payment.amount
            or self.refunds_are == "refused"
        ):
            return 400, {"status": False, "message": "Transaction cannot be refunded"}
        payment.refunded += amount
        data = {
            "id": 3_000_000 + payment.refunded,
            "transaction": {"reference": payment.reference},
            "amount": amount,
            "currency": payment.currency,
            "status": self.refunds_are,
        }
        return 200, {"status": True, "message": "Refund has been queued", "data": data}

    async def _checkout(self, reference: str) -> Reply:
        """The payer's page: it pays at once, tells the webhook, and sends the payer back."""
        payment = self.payments.get(reference)
        if payment is None:
            return 404, {"status": False, "message": "Not found"}
        await self.deliver(self.pay(reference))
        if payment.callback_url is None:
            return 200, {"status": True, "message": "Paid", "data": payment.data}
        query = urlencode({"trxref": reference, "reference": reference})
        return 302, f"{payment.callback_url}?{query}"
