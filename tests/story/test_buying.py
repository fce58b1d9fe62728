"""Buying: an admin tops a business up; the receipt stays, the balance is usable at once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from metering.money import Credits
from tests.house import ADMIN_TOKEN, House

pytestmark = pytest.mark.anyio

ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


async def test_an_admin_makes_a_business_and_it_can_call(house: House) -> None:
    """Business, key, top-up: three calls to the admin API, and the fourth is the app's."""
    made = await house.client.post(
        "/admin/businesses",
        json={"name": "DataLogique Systems", "owner_email": "ama@example.com"},
        headers=ADMIN,
    )
    business = made.json()["id"]
    key = await house.client.post(
        f"/admin/businesses/{business}/keys", json={"name": "till"}, headers=ADMIN
    )
    bought = await house.client.post(
        f"/admin/businesses/{business}/top-ups",
        json={"credits": "30", "amount_paid": "30.00", "currency": "GHS",
              "payment_method": "mobile_money", "payment_reference": "AI-CREDIT-1"},
        headers=ADMIN,
    )  # fmt: skip

    credits = await house.client.get(
        "/v1/credits", headers={"Authorization": f"Bearer {key.json()['key']}"}
    )

    assert (made.status_code, key.status_code, bought.status_code) == (201, 201, 201)
    assert credits.json()["available"] == "30.00"
    purchases = await house.client.get(f"/admin/businesses/{business}/purchases", headers=ADMIN)
    (receipt,) = purchases.json()["data"]
    assert receipt["payment_reference"] == "AI-CREDIT-1"
    assert receipt["payment_status"] == "completed"


async def test_a_top_up_adds_to_what_is_left_and_moves_the_expiry(house: House) -> None:
    """50 and 30 are 80, and they expire six calendar months from now."""
    acme = await house.business("50.00")

    await house.top_up(acme, "30.00")

    balance = await acme.balance()
    assert balance.available == await acme.recorded() == Credits.parse("80.00")
    expires = datetime.fromtimestamp(balance.expires_at_ms / 1000, UTC)
    months = (expires.year - datetime.now(UTC).year) * 12 + expires.month - datetime.now(UTC).month
    assert months == 6


async def test_a_bonus_is_added_on_top(house: House) -> None:
    """80 bought and 20 given are 100."""
    acme = await house.business("0")

    await house.top_up(acme, "80.00", bonus="20.00")

    assert await acme.available() == Credits.parse("100.00")


async def test_the_same_top_up_sent_twice_counts_once(house: House) -> None:
    """An Idempotency-Key makes a retry harmless, and brings the same answer."""
    acme = await house.business("0")
    headers = ADMIN | {"Idempotency-Key": "invoice-17"}
    url = f"/admin/businesses/{acme.id}/top-ups"

    first = await house.client.post(url, json={"credits": "10"}, headers=headers)
    again = await house.client.post(url, json={"credits": "10"}, headers=headers)
    other = await house.client.post(url, json={"credits": "11"}, headers=headers)

    assert first.json()["purchase"]["id"] == again.json()["purchase"]["id"]
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert await acme.available() == Credits.parse("10.00")
