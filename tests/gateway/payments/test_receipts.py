"""A receipt has the tax lines of its day, for ever."""

from __future__ import annotations

import pytest

from tests.shop import open_shop

pytestmark = pytest.mark.anyio

TAXES = (
    '[{"name": "VAT", "percent": "15", "from": "2026-01-01"},'
    ' {"name": "Levy", "percent": "1", "until": "2026-01-01"},'
    ' {"name": "NHIL", "percent": "2.5", "included": false}]'
)


async def test_taxes_are_printed_on_the_receipt_and_paid(
    valkey_url: str, sqlite_records_url: str
) -> None:
    """30.00 with VAT in it, and NHIL on top of what is left without it: 30.66 to pay."""
    async with open_shop(redis_url=valkey_url, records_url=sqlite_records_url, taxes=TAXES) as shop:
        acme = await shop.house.business("0")
        bought = await shop.buy(acme)
        await shop.paystack.deliver(shop.paystack.pay(bought["payment_reference"]))
        available = await shop.available(acme)
        (receipt,) = await shop.listed(f"/admin/businesses/{acme.id}/purchases")

    assert (available, receipt["amount_paid"]) == ("30.00", "30.66")
    assert receipt["tax_lines"] == [
        {"name": "VAT", "percent": "15", "amount": "3.92", "included": True},
        {"name": "NHIL", "percent": "2.5", "amount": "0.66", "included": False},
    ]
