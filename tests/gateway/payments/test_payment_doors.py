"""The webhook's door: who is let in, and what is answered."""

from __future__ import annotations

import pytest

from tests.shop import Shop

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("way", ["no signature", "empty", "another key", "altered", "upper"])
async def test_a_webhook_that_paystack_did_not_sign_is_refused(one_shop: Shop, way: str) -> None:
    """401, and nothing of it is kept."""
    acme, bought = await one_shop.pending()
    webhook = one_shop.paystack.pay(bought["payment_reference"])
    body, signature = webhook.body, webhook.signature
    headers = {"x-paystack-signature": signature}
    if way == "no signature":
        headers = {}
    elif way == "empty":
        headers = {"x-paystack-signature": ""}
    elif way == "another key":
        one_shop.paystack.secret_key = "sk_test_another"
        headers = {"x-paystack-signature": one_shop.paystack.signature(body)}
    elif way == "altered":
        body = body.replace(b"3000", b"3001")
    else:
        headers = {"x-paystack-signature": signature.upper() + "\u00e9"}

    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    reply = await one_shop.client.post("/webhooks/paystack", content=body, headers=sent)

    assert reply.status_code == 401
    assert await one_shop.house.scalar("SELECT COUNT(*) FROM webhook_events") == 0
    assert await one_shop.available(acme) == "0.00"


async def test_a_body_past_64_kib_is_refused(one_shop: Shop) -> None:
    """Signed or not: nothing that long is read to its end."""
    padded = one_shop.paystack.event("charge.success", {"padding": "x" * 65536})
    fits = one_shop.paystack.event("unknown.kind", {"padding": "x" * 60000})

    assert await one_shop.paystack.deliver(padded) == [413]
    assert await one_shop.paystack.deliver(fits) == [200]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"\xff", b'{"event":"charge.success","data":null}',
     b'{"event":"charge.success","data":{"status":"success"}}',
     b'{"event":"charge.success","data":{"status":"success","reference":"r","amount":1.5,'
     b'"currency":"GHS"}}',
     b'{"event":"refund.processed","data":{"transaction_reference":"r","amount":"-1"}}'],
)  # fmt: skip
async def test_a_signed_webhook_of_no_known_form_is_answered_200(
    one_shop: Shop, body: bytes
) -> None:
    """Sending it again would not help; it is logged."""
    reply = await one_shop.client.post(
        "/webhooks/paystack",
        content=body,
        headers={"x-paystack-signature": one_shop.paystack.signature(body)},
    )

    assert (reply.status_code, reply.json()["status"]) == (200, "not understood")
