"""The credits of one business in the admin API."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio


async def bought(admin, credits: str) -> str:
    id = await admin.business()
    await admin.post(f"/admin/businesses/{id}/top-ups", {"credits": credits})
    return id


async def test_the_balance_is_what_the_ledger_has_now(admin):
    """SQL lags behind it by what is on its way."""
    id = await bought(admin, "30")
    admin.ledger.holds(id, total="28.50", held="3.25")

    assert await admin.get(f"/admin/businesses/{id}/credits") == {
        "business_id": id,
        "status": "active",
        "balance": "28.50",
        "held": "3.25",
        "available": "25.25",
        "owed": "0.00",
        "expires_at": "2027-05-22T12:00:00.000Z",
        "live": True,
        "recorded_balance": "30.00",
    }


async def test_a_business_that_never_called_has_what_it_bought(admin):
    """The ledger opens an account at the first call."""
    id = await bought(admin, "30")

    credits = await admin.get(f"/admin/businesses/{id}/credits")

    assert (credits["balance"], credits["held"], credits["available"]) == ("30.00", "0.00", "30.00")
    assert credits["live"] is True


async def test_while_redis_is_away_the_records_answer(admin):
    """What is held nobody can say then."""
    id = await bought(admin, "30")
    admin.ledger.holds(id, total="28.50", held="3.25")
    admin.ledger.away = True

    credits = await admin.get(f"/admin/businesses/{id}/credits")

    assert (credits["balance"], credits["live"]) == ("30.00", False)
    assert credits["held"] is None
    assert credits["available"] is None
