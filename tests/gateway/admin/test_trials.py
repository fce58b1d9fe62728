"""The free trial: once for each business."""

from __future__ import annotations

import asyncio

import pytest

from tests.gateway.admin.an_admin import Admin

pytestmark = pytest.mark.anyio

TRIAL = {"credits": "50", "payment_method": "free_trial"}


async def test_a_second_trial_is_refused_and_names_the_first(admin: Admin) -> None:
    """Also when both are asked for at once, also after the first was spent."""
    business, other = await admin.business(), await admin.business(name="Other")
    url = f"/admin/businesses/{business}/top-ups"

    replies = await asyncio.gather(*(admin.call("POST", url, TRIAL) for _ in range(4)))
    elsewhere = await admin.call("POST", f"/admin/businesses/{other}/top-ups", TRIAL)

    assert sorted(reply.status_code for reply in replies) == [201, 409, 409, 409]
    assert {reply.json()["error"]["code"] for reply in replies if reply.status_code == 409} == {
        "already_credited"
    }
    assert elsewhere.status_code == 201
    (receipt,) = (await admin.get(f"/admin/businesses/{business}/purchases"))["data"]
    assert (receipt["amount_paid"], receipt["payment_method"]) == ("0.00", "free_trial")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"amount_paid": "1.00"}, "amount_paid"),
        ({"payment_reference": "again"}, "payment_reference"),
    ],
)
async def test_a_trial_is_free_and_has_no_reference_of_its_own(
    admin: Admin, more: dict[str, str], param: str
) -> None:
    """Another reference would be a way to a second one."""
    business = await admin.business()

    reply = await admin.call("POST", f"/admin/businesses/{business}/top-ups", TRIAL | more)
    free = {"amount_paid": "0.00"}
    granted = await admin.call("POST", f"/admin/businesses/{business}/top-ups", TRIAL | free)

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert granted.status_code == 201
