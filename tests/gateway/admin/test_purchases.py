"""Top-ups, adjustments and receipts in the admin API."""

from __future__ import annotations

import pytest

from tests.gateway.admin.counted import NO_AMOUNTS, balance, rows

pytestmark = pytest.mark.anyio

UNKNOWN = "0198a1b2-0000-7000-8000-000000000000"


async def test_a_top_up_adds_credits_and_leaves_a_receipt(admin):
    """30 credits for GHS 30.00: in the ledger before the answer, for six calendar months."""
    id = await admin.business()

    answer = await admin.post(
        f"/admin/businesses/{id}/top-ups",
        {
            "credits": "30",
            "bonus_credits": "5.5",
            "amount_paid": "30.00",
            "currency": "GHS",
            "payment_reference": "T-1",
            "payment_method": "mobile_money",
            "user": "ama",
            "note": "paid at the till",
        },
    )

    assert answer["balance"] == "35.50"
    assert answer["expires_at"] == "2027-05-22T12:00:00.000Z"
    assert answer["applied"] is True
    receipt = answer["purchase"]
    assert receipt["amount_paid"] == "30.00"
    assert receipt["credits_purchased"] == "30.00"
    assert receipt["bonus_credits"] == "5.50"
    assert receipt["payment_status"] == "completed"
    assert admin.ledger.applied == [id]
    assert (await admin.get(f"/admin/businesses/{id}/purchases"))["data"] == [receipt]
    assert await admin.get(f"/admin/purchases/{receipt['id']}") == receipt
    assert await admin.audited() == ["business.add", "purchase.top_up"]


async def test_credits_alone_are_enough(admin):
    """A grant costs nothing, in the business's currency."""
    id = await admin.business(currency="NGN")

    answer = await admin.post(f"/admin/businesses/{id}/top-ups", {"credits": "0.000001"})

    assert answer["balance"] == "0.000001"
    assert answer["purchase"]["amount_paid"] == "0.00"
    assert answer["purchase"]["currency"] == "NGN"
    assert answer["purchase"]["payment_method"] == "admin_grant"


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("credits", ["0", "0.00", "-1", "1.0000001", "1000000000", None]),
        ("bonus_credits", ["-1", "1.0000001", "1000000000", None]),
        ("amount_paid", ["-1", "1.001", "99999999999999"]),
    ],
)
async def test_amounts_that_are_none_are_refused(admin, field, more):
    """The field is named; not a row is written and the ledger hears nothing."""
    id = await admin.business()
    path, headers = f"/admin/businesses/{id}/top-ups", {"Idempotency-Key": "k"}
    before = await rows(admin)
    for amount in NO_AMOUNTS + more:
        reply = await admin.call("POST", path, {"credits": "5", field: amount}, headers=headers)

        assert reply.status_code == 400, amount
        error = reply.json()["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", field), amount
        assert error["message"].startswith(f"{field}: "), amount
    assert await rows(admin) == before
    assert await balance(admin, id) == "0.00"
    assert admin.ledger.applied == []


WRONG = [
    ({"currency": "GHS"}, "currency"),
    ({"amount_paid": "1", "currency": "XXX"}, "currency"),
    ({"amount_paid": "1.5", "currency": "JPY"}, "amount_paid"),
    ({"payment_method": "Mobile Money"}, "payment_method"),
    ({"payment_reference": ""}, "payment_reference"),
    ({"payment_reference": "a" * 201}, "payment_reference"),
    ({"note": "a" * 2001}, "note"),
    ({"user": "\x00"}, "user"),
    ({"provider": "paystack"}, "provider"),
    ({"payment_status": "completed"}, "payment_status"),
]


async def test_other_fields_are_checked_too(admin):
    """Nothing that is not asked for can be set."""
    id = await admin.business()
    for fields, param in WRONG:
        form = {"credits": "5", **fields}
        reply = await admin.call("POST", f"/admin/businesses/{id}/top-ups", form)

        assert reply.status_code == 400, fields
        assert reply.json()["error"]["param"] == param
    assert await balance(admin, id) == "0.00"


async def test_a_balance_cannot_outgrow_what_is_exact(admin):
    """The second of two huge top-ups is refused, and the first stays as it was."""
    id = await admin.business()
    path = f"/admin/businesses/{id}/top-ups"
    await admin.post(path, {"credits": "999999999.999999"})

    reply = await admin.call("POST", path, {"credits": "0.000001"})

    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "bad_amount"
    assert await balance(admin, id) == "999999999.999999"


async def test_a_reference_is_credited_once(admin):
    """The refusal names the receipt that exists, whosever it is."""
    id, other = await admin.business(), await admin.business()
    form = {"credits": "30", "payment_reference": "T-1"}
    first = await admin.post(f"/admin/businesses/{id}/top-ups", form)

    for business in (id, other):
        reply = await admin.call("POST", f"/admin/businesses/{business}/top-ups", form)

        assert reply.status_code == 409
        error = reply.json()["error"]
        assert (error["code"], error["param"]) == ("already_credited", "payment_reference")
        assert error["metadata"] == {"purchase_id": first["purchase"]["id"]}
        assert first["purchase"]["id"] in error["message"]
    assert await balance(admin, id) == "30.00"
    assert await balance(admin, other) == "0.00"


async def test_redis_away_does_not_lose_a_top_up(admin):
    """SQL has it, and the answer says that the ledger does not yet."""
    id = await admin.business()
    admin.ledger.away = True
    headers = {"Idempotency-Key": "k-1"}
    path = f"/admin/businesses/{id}/top-ups"

    away = await admin.post(path, {"credits": "30"}, headers=headers)
    admin.ledger.away = False
    back = await admin.post(path, {"credits": "30"}, headers=headers)

    assert (away["applied"], back["applied"]) == (False, True)
    assert away["purchase"] == back["purchase"]
    assert await balance(admin, id) == "30.00"


async def test_a_business_may_be_named_in_capitals(admin):
    """The ledger is told the id as it is stored: another spelling is another partition."""
    id = await admin.business()

    await admin.post(f"/admin/businesses/{id.upper()}/top-ups", {"credits": "30"})

    assert admin.ledger.applied == [id]


async def test_credits_for_nobody_are_a_404(admin):
    """Nothing is written."""
    before = await rows(admin)
    forms = {"top-ups": {"credits": "1"}, "adjustments": {"credits": "1", "reason": "r"}}
    for id in (UNKNOWN, "x"):
        for path, form in forms.items():
            reply = await admin.call("POST", f"/admin/businesses/{id}/{path}", form)

            assert reply.status_code == 404
    assert await rows(admin) == before


async def test_the_receipt_of_nobody_is_a_404(admin):
    """Known ids only."""
    for id in (UNKNOWN, "x"):
        assert (await admin.call("GET", f"/admin/purchases/{id}")).status_code == 404


async def test_pages_of_receipts(admin):
    """Newest first, each once."""
    id = await admin.business()
    made = [
        (await admin.post(f"/admin/businesses/{id}/top-ups", {"credits": "1"}))["purchase"]["id"]
        for _ in range(3)
    ]

    first = await admin.get(f"/admin/businesses/{id}/purchases", params={"limit": 2})
    after = {"limit": 2, "after": first["next"]}
    second = await admin.get(f"/admin/businesses/{id}/purchases", params=after)

    assert [row["id"] for row in first["data"] + second["data"]] == made[::-1]
    assert second["next"] is None
