"""Money that goes back: what is left of the credits is taken, what was spent is owed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.house import Acme
from tests.shop import ADMIN, Shop

pytestmark = pytest.mark.anyio

REASON = {"reason": "the shop closed"}


async def refund(shop: Shop, id: str, **fields: Any) -> Any:
    """What an admin is answered."""
    headers = ADMIN | fields.pop("headers", {})
    return await shop.client.post(
        f"/admin/purchases/{id}/refund", json=REASON | fields, headers=headers
    )


async def spend(acme: Acme, credits: str) -> None:
    """Use up some: corrected by hand, which is quicker than to call."""
    reply = await acme.house.client.post(
        f"/admin/businesses/{acme.id}/adjustments",
        json={"credits": f"-{credits}", "reason": "spent"},
        headers=ADMIN,
    )
    assert reply.json()["applied"] is True
    await acme.house.quiet()


async def owed(shop: Shop, acme: Acme) -> str:
    """What blocks new calls."""
    await shop.processed()
    await shop.house.quiet()
    return str((await acme.balance()).owed)


async def test_a_refund_takes_back_once_paystack_says_processed(shop: Shop) -> None:
    """Pending takes nothing; processed, told three times, takes all of it once."""
    acme, bought = await shop.paid_business()

    asked = await refund(shop, bought["id"])
    before = await shop.available(acme)
    event = shop.paystack.refund_event(bought["payment_reference"], "refund.processed", name="R1")
    other = shop.paystack.refund_event(bought["payment_reference"], "refund.processed", name=None)
    await shop.paystack.deliver(event, times=3)
    await shop.paystack.deliver(other)

    assert (asked.status_code, asked.json()["refund"]["status"]) == (201, "pending")
    assert (asked.json()["purchase"]["payment_status"], before) == ("completed", "30.00")
    assert await shop.available(acme) == "0.00"
    assert await owed(shop, acme) == "0.00"
    assert (await shop.receipt(bought["id"])).payment_status == "refunded"
    done = [row["what"] for row in await shop.listed("/admin/audit")]
    assert done.count("refund.processed") == done.count("purchase.refund") == 1
    await shop.check_laws()


async def test_what_was_spent_is_owed_and_blocks_new_calls(shop: Shop) -> None:
    """20 of 30 are spent: 10 are taken, 20 owed; the next purchase pays them first."""
    acme, bought = await shop.paid_business()
    await spend(acme, "20")
    shop.paystack.refunds_are = "processed"

    reply = await refund(shop, bought["id"])
    blocked = await shop.house.chat(acme)

    assert reply.json()["refund"]["taken"] == "30.00"
    assert await owed(shop, acme) == "20.00"
    assert (blocked.status_code, blocked.json()["error"]["code"]) == (402, "credits_owed")
    again = await shop.buy(acme)
    await shop.paystack.deliver(shop.paystack.pay(again["payment_reference"]))
    assert await shop.available(acme) == "10.00"
    assert await owed(shop, acme) == "0.00"
    await shop.check_laws()


async def test_a_part_takes_the_same_part_and_the_last_one_the_rest(shop: Shop) -> None:
    """GHS 10.00 of 30.00 are a third; after the other 20.00 the purchase is refunded."""
    acme, bought = await shop.paid_business()
    shop.paystack.refunds_are = "processed"

    first = await refund(shop, bought["id"], amount="10.00")
    between = await shop.available(acme), (await shop.receipt(bought["id"])).payment_status
    too_much = await refund(shop, bought["id"], amount="20.01")
    nothing = await refund(shop, bought["id"], amount="0.00")
    last = await refund(shop, bought["id"])
    more = await refund(shop, bought["id"])

    assert first.json()["refund"]["taken"] == "10.00"
    assert between == ("20.00", "completed")
    assert (too_much.status_code, nothing.status_code) == (400, 400)
    assert (last.json()["refund"]["amount"], last.json()["refund"]["taken"]) == ("20.00", "20.00")
    assert more.status_code == 409
    assert await shop.available(acme) == "0.00"
    assert (await shop.receipt(bought["id"])).payment_status == "refunded"
    await shop.check_laws()


async def test_a_refund_that_paystack_refuses_takes_nothing(one_shop: Shop) -> None:
    """409, and it can be asked again."""
    acme, bought = await one_shop.paid_business()
    one_shop.paystack.refunds_are = "refused"

    refused = await refund(one_shop, bought["id"])
    one_shop.paystack.refunds_are = "processed"
    made = await refund(one_shop, bought["id"])

    assert (refused.status_code, made.status_code) == (409, 201)
    assert await one_shop.available(acme) == "0.00"


async def test_a_refund_that_fails_later_gives_nothing_away(one_shop: Shop) -> None:
    """refund.failed: the money stayed, so do the credits, and it can be asked again."""
    acme, bought = await one_shop.paid_business()
    await refund(one_shop, bought["id"])

    failed = one_shop.paystack.refund_event(bought["payment_reference"], "refund.failed")
    await one_shop.paystack.deliver(failed)

    assert await one_shop.available(acme) == "30.00"
    one_shop.paystack.payments[bought["payment_reference"]].refunded = 0
    assert (await refund(one_shop, bought["id"])).status_code == 201


async def test_a_refund_in_doubt_is_asked_once_and_waits(one_shop: Shop) -> None:
    """500 from Paystack: it may have sent the money. A person looks, or the webhook says."""
    acme, bought = await one_shop.paid_business()
    one_shop.paystack.fails["refund"] = 1

    reply = await refund(one_shop, bought["id"])
    twice = await refund(one_shop, bought["id"])
    waiting = await one_shop.problems()
    event = one_shop.paystack.refund_event(bought["payment_reference"], "refund.processed")
    await one_shop.paystack.deliver(event)

    assert (reply.json()["refund"]["status"], twice.status_code) == ("asked", 409)
    assert waiting == ["refund"]
    assert one_shop.paystack.asked.count("refund") == 1
    assert await one_shop.available(acme) == "0.00"
    assert await one_shop.problems() == []


@pytest.mark.parametrize(("decision", "left"), [("accept", "0.00"), ("dismiss", "30.00")])
async def test_a_person_can_say_what_became_of_a_refund(
    one_shop: Shop, decision: str, left: str
) -> None:
    """Accepted: it was made. Dismissed: it was not, and can be asked again."""
    acme, bought = await one_shop.paid_business()
    one_shop.paystack.fails["refund"] = 1
    await refund(one_shop, bought["id"])
    (problem,) = await one_shop.listed("/admin/payments/problems")

    reply = await one_shop.client.post(
        f"/admin/payments/problems/{problem['id']}/{decision}", json=REASON, headers=ADMIN
    )

    assert reply.status_code == 200, reply.text
    assert await one_shop.available(acme) == left


async def test_a_refund_made_at_paystack_is_taken_back_too(shop: Shop) -> None:
    """Nobody asked us: its dashboard did."""
    acme, bought = await shop.paid_business()

    event = shop.paystack.refund_event(
        bought["payment_reference"], "refund.processed", amount=1500, name="DASH-1"
    )
    await shop.paystack.deliver(event, times=2)

    assert await shop.available(acme) == "15.00"
    assert (await shop.receipt(bought["id"])).payment_status == "completed"
    await shop.check_laws()


async def test_an_idempotency_key_refunds_once(one_shop: Shop) -> None:
    """A double click asks Paystack once."""
    _, bought = await one_shop.paid_business()
    headers = {"Idempotency-Key": "click"}

    first = await refund(one_shop, bought["id"], amount="5.00", headers=headers)
    again = await refund(one_shop, bought["id"], amount="5.00", headers=headers)

    assert first.json()["refund"]["id"] == again.json()["refund"]["id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert one_shop.paystack.asked.count("refund") == 1


@pytest.mark.parametrize(
    ("resolution", "left", "status"),
    [("merchant-accepted", "0.00", "refunded"), ("declined", "30.00", "completed")],
)
async def test_a_dispute_takes_back_only_when_it_is_lost(
    shop: Shop, resolution: str, left: str, status: str
) -> None:
    """Noted and audited at once; lost, the refund that follows takes nothing more."""
    acme, bought = await shop.paid_business()
    reference = bought["payment_reference"]
    opened = shop.paystack.dispute_event(reference, "charge.dispute.create")
    reminded = shop.paystack.dispute_event(reference, "charge.dispute.remind")

    await shop.paystack.deliver(opened, reminded)
    between = await shop.available(acme)
    blocked = await refund(shop, bought["id"])
    resolved = shop.paystack.dispute_event(
        reference, "charge.dispute.resolve", resolution=resolution
    )
    await shop.paystack.deliver(resolved, times=2)
    if status == "refunded":
        paid_out = shop.paystack.refund_event(reference, "refund.processed", name="D-REF")
        await shop.paystack.deliver(paid_out)

    assert between == "30.00"
    assert blocked.status_code == 409
    assert await shop.available(acme) == left
    assert (await shop.receipt(bought["id"])).payment_status == status
    done = [row["what"] for row in await shop.listed("/admin/audit")]
    assert done.count("purchase.disputed") == 1
    await shop.check_laws()


async def test_what_an_admin_granted_is_taken_back_at_once(one_shop: Shop) -> None:
    """No provider has money to send; an admin does that by hand."""
    acme = await one_shop.house.business("50.00")
    (receipt,) = await one_shop.listed(f"/admin/businesses/{acme.id}/purchases")

    reply = await refund(one_shop, receipt["id"])

    assert (reply.status_code, reply.json()["purchase"]["payment_status"]) == (201, "refunded")
    assert await one_shop.available(acme) == "0.00"
    assert one_shop.paystack.asked == []


async def test_a_dispute_about_a_part_is_taken_back_once(shop: Shop) -> None:
    """Lost, Paystack pays it out as a refund; that is the same money and no second one."""
    acme, bought = await shop.paid_business()
    reference = bought["payment_reference"]
    lost = shop.paystack.dispute_event(
        reference, "charge.dispute.resolve", resolution="merchant-accepted", amount=1000
    )
    paid_out = shop.paystack.refund_event(reference, "refund.processed", amount=1000, name="D-REF")

    await shop.paystack.deliver(lost)
    await shop.processed()
    await shop.paystack.deliver(paid_out)

    assert await shop.available(acme) == "20.00"
    assert (await shop.receipt(bought["id"])).payment_status == "completed"
    await shop.check_laws()
