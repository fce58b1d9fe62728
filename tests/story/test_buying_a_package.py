"""Buying a package: the seed's first story, through Paystack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from metering.money import Credits
from storage.purchases import months_later
from tests.shop import Shop, open_shop

pytestmark = pytest.mark.anyio


@pytest.fixture
async def shop(redis_url: str, records_url: str) -> AsyncIterator[Shop]:
    """A shop on each pair of engines."""
    async with open_shop(redis_url=redis_url, records_url=records_url) as opened:
        yield opened


async def test_fifty_and_a_starter_are_eighty(shop: Shop) -> None:
    """GHS 30.00 by mobile money: 50.00 → 80.00, and all of it expires six months from now."""
    acme = await shop.house.business("50.00")

    bought = await shop.buy(acme)
    before = await shop.status(acme, bought["id"])
    await shop.paystack.deliver(shop.paystack.pay(bought["payment_reference"]), times=3)

    assert before == "pending"
    assert bought["authorization_url"].startswith(shop.paystack.origin)
    assert await shop.available(acme) == "80.00"
    assert await acme.recorded() == Credits.parse("80.00")
    receipt = await shop.receipt(bought["id"])
    assert receipt.payment_status == "completed"
    assert (receipt.amount_paid_minor, receipt.currency) == (3000, "GHS")
    assert (receipt.payment_method, receipt.package) == ("mobile_money", "Starter")
    expires = datetime.fromtimestamp((await acme.balance()).expires_at_ms / 1000, UTC)
    assert receipt.completed_at is not None
    # Clamped to the end of a shorter month: 31 August plus six is 28 or 29 February.
    assert abs(expires - months_later(receipt.completed_at, 6)).total_seconds() < 1
    await shop.check_laws()


async def test_a_bonus_comes_with_the_larger_package(shop: Shop) -> None:
    """80 and 20 bonus for GHS 80.00; an admin sees one receipt, and nothing unsettled."""
    acme = await shop.house.business("0")

    bought = await shop.buy(acme, "Shop")
    await shop.paystack.deliver(shop.paystack.pay(bought["payment_reference"]))

    assert await shop.available(acme) == "100.00"
    (receipt,) = await shop.listed(f"/admin/businesses/{acme.id}/purchases")
    assert (receipt["credits_purchased"], receipt["bonus_credits"]) == ("80.00", "20.00")
    assert await shop.listed("/admin/payments/unsettled") == []


async def test_the_seeds_incident_cannot_happen_again(shop: Shop) -> None:
    """The webhook is lost and verify answers 500: the payer's return fails, the sweep credits."""
    acme = await shop.house.business("0")
    bought = await shop.buy(acme)
    shop.paystack.pay(bought["payment_reference"])
    shop.paystack.fails["verify"] = 3

    back = await shop.client.get(
        "/payments/paystack/callback", params={"reference": bought["payment_reference"]}
    )
    between = await shop.status(acme, bought["id"])
    ((purchase, checks),) = await shop.settling.pending(due_only=False)
    swept = await shop.settling.check(purchase, checks=checks)

    assert (back.status_code, "We are waiting" in back.text, between) == (200, True, "pending")
    assert swept == "credited"
    assert await shop.available(acme) == "30.00"


async def test_a_payer_who_returns_is_credited_before_the_webhook(shop: Shop) -> None:
    """The webhook that comes later changes nothing."""
    acme = await shop.house.business("0")
    bought = await shop.buy(acme)
    webhook = shop.paystack.pay(bought["payment_reference"])

    back = await shop.client.get(
        "/payments/paystack/callback",
        params={"reference": bought["payment_reference"], "trxref": bought["payment_reference"]},
    )
    statuses = await shop.paystack.deliver(webhook)

    assert "30.00 credits were added" in back.text
    assert statuses == [200]
    assert await shop.available(acme) == "30.00"
    await shop.check_laws()


async def test_another_business_does_not_see_the_purchase(shop: Shop) -> None:
    """Its id is told as if it were not there."""
    acme = await shop.house.business("0")
    other = await shop.house.business("0", name="Other")
    bought = await shop.buy(acme)

    reply = await shop.client.get(f"/portal/purchases/{bought['id']}", headers=other.headers)

    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
    mine = await shop.client.get("/portal/purchases", headers=other.headers)
    assert mine.json() == {"data": [], "next": None}
