"""Adjustments in the admin API: corrections by hand."""

from __future__ import annotations

import pytest

from tests.gateway.admin.counted import NO_AMOUNTS, balance, rows

pytestmark = pytest.mark.anyio


async def test_an_adjustment_adds_with_its_reason(admin):
    """A correction is no purchase and has no receipt."""
    id = await admin.business()

    answer = await admin.post(
        f"/admin/businesses/{id}/adjustments", {"credits": "2.5", "reason": "goodwill"}
    )

    assert answer["adjustment"]["credits"] == "2.50"
    assert answer["balance"] == "2.50"
    assert answer["applied"] is True
    assert (await admin.get(f"/admin/businesses/{id}/purchases"))["data"] == []
    row = (await admin.get("/admin/audit"))["data"][0]
    assert (row["what"], row["after"]["reason"]) == ("business.adjust", "goodwill")


async def test_taking_credits_is_asked_of_the_ledger(admin):
    """SQL changes when Redis has said how much was there."""
    id = await admin.business()
    await admin.post(f"/admin/businesses/{id}/top-ups", {"credits": "30"})

    answer = await admin.post(
        f"/admin/businesses/{id}/adjustments", {"credits": "-10", "reason": "entered twice"}
    )

    assert answer["adjustment"]["credits"] == "-10.00"
    assert answer["balance"] == "30.00"
    assert admin.ledger.applied == [id, id]


async def test_adjustments_of_no_amount_are_refused(admin):
    """Signed, but an amount all the same."""
    id = await admin.business()
    before = await rows(admin)
    for amount in [*NO_AMOUNTS, "0", "1.0000001", "-1000000000", None]:
        reply = await admin.call(
            "POST", f"/admin/businesses/{id}/adjustments", {"credits": amount, "reason": "r"}
        )

        assert reply.status_code == 400, amount
        assert reply.json()["error"]["param"] == "credits", amount
    assert await rows(admin) == before


async def test_an_adjustment_has_a_reason(admin):
    """Whoever reads the books later will ask."""
    id = await admin.business()
    for reason in (None, "", "  ", 5, "a" * 2001):
        reply = await admin.call(
            "POST", f"/admin/businesses/{id}/adjustments", {"credits": "1", "reason": reason}
        )

        assert reply.status_code == 400, reason
        assert reply.json()["error"]["param"] == "reason"


async def test_a_repeated_adjustment_corrects_once(admin):
    """The key of a top-up is not the key of an adjustment."""
    id = await admin.business()
    headers = {"Idempotency-Key": "1"}
    await admin.post(f"/admin/businesses/{id}/top-ups", {"credits": "30"}, headers=headers)
    form = {"credits": "1", "reason": "r"}

    for _ in range(2):
        await admin.post(f"/admin/businesses/{id}/adjustments", form, headers=headers)

    assert await balance(admin, id) == "31.00"
