"""What is heard of payments: credited once, or before a person, and never lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from gateway.payments.settling import GIVEN_UP_AFTER
from metering.money import Credits
from storage.errors import LedgerUnavailable
from tests.shop import ADMIN, Shop, now

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("amount", "currency", "why"),
    [(2999, None, "amount"), (3001, None, "amount"), (0, None, "amount"),
     (None, "NGN", "currency"), (None, "USD", "currency")],
)  # fmt: skip
async def test_what_does_not_match_credits_nothing_and_waits_for_a_person(
    one_shop: Shop, amount: int | None, currency: str | None, why: str
) -> None:
    """One pesewa less, one more, another currency: 200, one problem however often it comes."""
    acme, bought = await one_shop.pending()
    webhook = one_shop.paystack.pay(bought["payment_reference"], amount=amount, currency=currency)

    statuses = await one_shop.paystack.deliver(webhook, times=3)
    back = await one_shop.client.get(
        "/payments/paystack/callback", params={"reference": bought["payment_reference"]}
    )

    assert set(statuses) == {200}
    assert "We are waiting" in back.text
    assert await one_shop.available(acme) == "0.00"
    assert await one_shop.problems() == [why]
    (row,) = await one_shop.listed("/admin/payments/unsettled")
    assert (row["kind"], row["why"], row["purchase_id"]) == ("problem", why, bought["id"])


async def test_the_payment_of_another_business_credits_neither(one_shop: Shop) -> None:
    """Its metadata names another business, or another purchase, or nobody."""
    acme, bought = await one_shop.pending()
    other = await one_shop.house.business("0", name="Other")
    payment = one_shop.paystack.payments[bought["payment_reference"]]
    right = payment.metadata
    wrongs: tuple[Any, ...] = (
        *(right | {"business": other.id}, right | {"purchase": other.id}),
        *({}, "", None),
    )
    for wrong in wrongs:
        payment.metadata = wrong
        await one_shop.paystack.deliver(one_shop.paystack.pay(payment.reference))

    assert await one_shop.available(acme) == await one_shop.available(other) == "0.00"
    assert await one_shop.problems() == ["business"]


async def test_a_payment_that_nobody_asked_for_waits_for_a_person(one_shop: Shop) -> None:
    """Its reference is unknown; it cannot be accepted, only looked into and dismissed."""
    _, bought = await one_shop.pending()
    data = one_shop.paystack.payments[bought["payment_reference"]].data
    data |= {"status": "success", "reference": "AI-CREDIT-never-asked"}

    await one_shop.paystack.deliver(one_shop.paystack.event("charge.success", data))
    await one_shop.processed()

    (problem,) = await one_shop.listed("/admin/payments/problems")
    assert (problem["why"], problem["purchase_id"]) == ("unknown", None)
    url = f"/admin/payments/problems/{problem['id']}"
    why = {"reason": "cash"}
    accepted = await one_shop.client.post(f"{url}/accept", json=why, headers=ADMIN)
    dismissed = await one_shop.client.post(f"{url}/dismiss", json=why, headers=ADMIN)
    again = await one_shop.client.post(f"{url}/dismiss", json=why, headers=ADMIN)
    assert [accepted.status_code, dismissed.status_code, again.status_code] == [409, 200, 409]
    assert await one_shop.listed("/admin/payments/unsettled") == []


async def test_an_accepted_payment_credits_once_and_says_what_came(shop: Shop) -> None:
    """The receipt has the amount that was really paid; the audit log has who took it."""
    acme, bought = await shop.pending()
    short = shop.paystack.pay(bought["payment_reference"], amount=2950)
    await shop.paystack.deliver(short)
    await shop.processed()
    (problem,) = await shop.listed("/admin/payments/problems")

    reply = await shop.client.post(
        f"/admin/payments/problems/{problem['id']}/accept",
        json={"reason": "50 pesewas are ours"},
        headers=ADMIN | {"X-Admin-User": "efua"},
    )
    await shop.paystack.deliver(short)

    assert (reply.status_code, reply.json()["decided_by"]) == (200, "admin:efua")
    assert await shop.available(acme) == "30.00"
    receipt = await shop.receipt(bought["id"])
    assert (receipt.payment_status, receipt.amount_paid_minor) == ("completed", 2950)
    assert "payment.accept" in [row["what"] for row in await shop.listed("/admin/audit")]
    await shop.check_laws()


async def test_a_purchase_is_given_up_by_time_and_never_while_paystack_is_away(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed attempt there may still be followed by another one on the same page."""
    _, bought = await shop.pending()
    payment = shop.paystack.payments[bought["payment_reference"]]
    payment.status = "failed"
    purchase = await shop.receipt(bought["id"])
    early = await shop.settling.check(purchase, checks=0)
    monkeypatch.setattr(shop.settling, "clock", lambda: now() + GIVEN_UP_AFTER)
    shop.paystack.fails["verify"] = 3

    away = await shop.settling.check(purchase, checks=1)
    failed = await shop.settling.check(purchase, checks=2)

    assert (early, away, failed) == ("pending", "away", "failed")
    assert (await shop.receipt(bought["id"])).payment_status == "failed"


async def test_money_for_a_purchase_that_was_given_up_is_not_lost(shop: Shop) -> None:
    """The failed row stays failed; accepted, the payment gets a receipt of its own, once."""
    acme, bought = await shop.pending()
    async with shop.house.database.write() as connection:
        await connection.execute(text("UPDATE ai_credit_purchases SET payment_status = 'failed'"))
    await shop.paystack.deliver(shop.paystack.pay(bought["payment_reference"]), times=2)
    await shop.processed()
    (problem,) = await shop.listed("/admin/payments/problems")

    for _ in range(2):
        await shop.client.post(
            f"/admin/payments/problems/{problem['id']}/accept",
            json={"reason": "it came late"},
            headers=ADMIN,
        )

    assert problem["why"] == "late"
    assert await shop.available(acme) == "30.00"
    assert (await shop.receipt(bought["id"])).payment_status == "failed"
    statuses = [
        r["payment_status"] for r in await shop.listed(f"/admin/businesses/{acme.id}/purchases")
    ]
    assert sorted(statuses) == ["completed", "failed"]
    await shop.check_laws()


async def test_a_crash_between_the_commit_and_redis_loses_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQL has it; the crediting loop brings it to Redis, and a repeated webhook adds nothing."""
    acme, bought = await shop.pending()

    async def dies(business: str) -> None:
        raise LedgerUnavailable("killed")

    with monkeypatch.context() as broken:
        broken.setattr(shop.settling, "_apply_to", dies)
        # The loop beside us must not do it meanwhile.
        broken.setattr(shop.house.parts.loops.crediting, "_runs_here", lambda: False)
        webhook = shop.paystack.pay(bought["payment_reference"])
        await shop.paystack.deliver(webhook)
        await shop.settling.process_waiting()
        before = (await shop.receipt(bought["id"])).payment_status, await acme.available()
    await shop.house.parts.loops.crediting.apply_all()
    other = shop.paystack.event(
        "charge.success", shop.paystack.payments[bought["payment_reference"]].data | {"more": 1}
    )
    await shop.paystack.deliver(webhook, other)

    # Opening the account reads SQL, so Redis may have it even now; never less, never twice.
    assert before[0] == "completed"
    assert before[1] in (Credits(0), Credits.parse("30.00"))
    assert await shop.available(acme) == "30.00"
    await shop.check_laws()


async def test_a_webhook_that_was_kept_by_a_process_that_died_is_acted_on(shop: Shop) -> None:
    """The loop finds it, and an admin sees it meanwhile."""
    acme, bought = await shop.pending()
    webhook = shop.paystack.pay(bought["payment_reference"])
    kept = await shop.settling.heard(webhook.body, webhook.signature)

    await shop.house.parts.selling.pending.look_once()

    assert kept is not None
    assert await shop.available(acme) == "30.00"
    assert await shop.settling.heard(webhook.body, webhook.signature) is None


async def test_the_sweep_asks_less_and_less_often(one_shop: Shop) -> None:
    """A minute, two, four, …, at most six hours."""
    _, bought = await one_shop.pending()
    waits = []
    for checks in range(12):
        at = now()
        await one_shop.settling.check(await one_shop.receipt(bought["id"]), checks=checks)
        following = await one_shop.house.scalar("SELECT next_check_at FROM payment_checks")
        waits.append(_minutes(following, at))

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]


def _minutes(following: str, at: Any) -> int:
    then = datetime.fromisoformat(following).replace(tzinfo=UTC)
    return round((then - at) / timedelta(minutes=1))


async def test_a_start_that_paystack_refuses_is_told_and_ends(one_shop: Shop) -> None:
    """502 payments_unavailable; a start that is in doubt stays pending for the sweep."""
    acme = await one_shop.house.business("0")
    one_shop.paystack.fails["initialize"] = 3

    doubt = await one_shop.client.post(
        "/portal/purchases", json={"package": "Starter"}, headers=acme.headers
    )
    one_shop.paystack.fails["initialize"] = 1
    bought = await one_shop.buy(acme)

    assert (doubt.status_code, doubt.json()["error"]["code"]) == (502, "payments_unavailable")
    assert bought["authorization_url"]
    assert one_shop.paystack.asked == ["initialize"] * 5
    assert len(one_shop.paystack.payments) == 1


@pytest.mark.parametrize("body", [{}, {"package": "Nothing"}, {"package": 1}, {"pack": "x"}, []])
async def test_a_body_that_names_no_package_is_refused(one_shop: Shop, body: Any) -> None:
    """400, and nothing is written down."""
    acme = await one_shop.house.business("0")

    reply = await one_shop.client.post(
        "/portal/purchases", content=json.dumps(body), headers=acme.headers
    )

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "package")
    assert await one_shop.house.scalar("SELECT COUNT(*) FROM payment_checks") == 0


async def test_packages_are_listed_with_what_is_to_be_paid(one_shop: Shop) -> None:
    """The price and the bonus, before the buyer leaves to pay."""
    acme = await one_shop.house.business("0")

    reply = await one_shop.client.get("/portal/packages", headers=acme.headers)
    bare = await one_shop.client.get("/portal/packages")

    assert bare.status_code == 401
    shown = [(one["name"], one["to_pay"], one["credits_in_all"]) for one in reply.json()["data"]]
    assert shown == [("Starter", "30.00", "30.00"), ("Shop", "80.00", "100.00")]
