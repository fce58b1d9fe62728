"""Transactions in the admin API."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from storage.ids import new_id
from storage.tables import ai_transactions
from tests.gateway.admin.an_admin import NOW

pytestmark = pytest.mark.anyio


async def called(admin, business: str, seq: int) -> str:
    """A call that was recorded."""
    id = new_id()
    async with admin.database.write() as connection:
        await connection.execute(
            insert(ai_transactions).values(
                id=id,
                business_id=business,
                feature="product_description",
                user="ama",
                endpoint="chat.completions",
                model="gpt-5",
                credits_used_microcredits=2_500_000,
                cost_to_us_picodollars=12_500_000,
                tokens_used=120,
                usage={"input": 100, "output": 20},
                usage_source="reported",
                estimated=False,
                timestamp=NOW,
                success=True,
                http_status=200,
                processing_time_ms=850,
                credits_held_microcredits=3_000_000,
                shortfall_microcredits=0,
                outcome="settled",
                price_version="2026-11-01.1a2b3c4d",
                epoch=1,
                seq=seq,
                recorded_at=NOW,
            )
        )
    return id


async def test_a_call_is_shown_with_what_it_used_and_cost(admin):
    """Names as in the records, amounts as decimals."""
    business = await admin.business()
    id = await called(admin, business, 1)

    shown = await admin.get(f"/admin/transactions/{id}")

    assert shown["feature"] == "product_description"
    assert shown["credits_used"] == "2.50"
    assert shown["cost_to_us"] == "0.0000125"
    assert shown["usage"] == {"input": 100, "output": 20}
    assert shown["timestamp"] == "2026-11-22T12:00:00.000Z"
    assert (await admin.get(f"/admin/businesses/{business}/transactions"))["data"] == [shown]


async def test_pages_of_calls_are_of_one_business(admin):
    """Newest first, each once, and nobody else's."""
    business, other = await admin.business(), await admin.business()
    made = [await called(admin, business, seq) for seq in (1, 2, 3)]
    await called(admin, other, 1)
    path = f"/admin/businesses/{business}/transactions"

    first = await admin.get(path, params={"limit": 2})
    second = await admin.get(path, params={"limit": 2, "after": first["next"]})

    assert [row["id"] for row in first["data"] + second["data"]] == made[::-1]
    assert second["next"] is None


@pytest.mark.parametrize("id", ["0198a1b2-0000-7000-8000-000000000000", "x"])
async def test_an_unknown_call_is_a_404(admin, id):
    """Also while it is not recorded yet."""
    assert (await admin.call("GET", f"/admin/transactions/{id}")).status_code == 404
