"""What an admin sets for a business is true for its next call: its status, its threshold."""

from __future__ import annotations

import pytest

from metering.money import Credits
from storage import alerts
from tests.house import ADMIN_TOKEN, Acme, House
from tests.laws.laws import check_laws

pytestmark = pytest.mark.anyio

ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


async def set_threshold(acme: Acme, credits: str) -> None:
    path = f"/admin/businesses/{acme.id}"
    reply = await acme.house.client.patch(
        path, json={"low_balance_threshold": credits}, headers=ADMIN
    )
    assert (reply.status_code, reply.json()["applied"]) == (200, True)


async def uses(acme: Acme, times: int) -> None:
    """So many calls at 2.50 credits."""
    for _ in range(times):
        reply = await acme.house.chat(acme, headers={"X-Feature": "product_description"})
        assert reply.status_code == 200
        await acme.house.quiet()


async def warned_at(acme: Acme) -> list[str]:
    """The thresholds it was warned at, the oldest first."""
    await acme.house.quiet()
    async with acme.house.database.read() as connection:
        found = await alerts.page(connection, acme.id, limit=20)
    return [str(one.threshold) for one in reversed(found) if one.alert_type == "low_balance"]


async def test_a_suspended_business_is_refused_until_it_is_resumed(house: House) -> None:
    """403 business_suspended from the answer on; its credits stay."""
    acme = await house.business("10.00")
    path = f"/admin/businesses/{acme.id}"

    await house.client.post(f"{path}/suspend", headers=ADMIN)
    refused = await house.chat(acme)
    await house.client.post(f"{path}/resume", headers=ADMIN)
    served = await house.chat(acme)

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "business_suspended")
    assert refused.headers["x-should-retry"] == "false"
    assert served.status_code == 200
    assert len(await acme.transactions()) == 1
    await check_laws(house)


async def test_a_lowered_threshold_warns_again(house: House) -> None:
    """Warned below 10, then told to warn below 4: falling below 4 is a crossing of its own."""
    acme = await house.business("15.00", features=("product_description",))

    await uses(acme, 3)
    await set_threshold(acme, "4.00")
    await uses(acme, 1)
    between = await warned_at(acme)
    await uses(acme, 1)

    assert between == ["10.00"]
    assert await warned_at(acme) == ["10.00", "4.00"]
    assert await acme.available() == Credits.parse("2.50")


async def test_a_raised_threshold_warns_with_the_next_call_and_once(house: House) -> None:
    """12.50 are below 20; the owner is told when they are used, and not with every change."""
    acme = await house.business("17.50", features=("product_description",))

    await uses(acme, 1)
    await set_threshold(acme, "20.00")
    await uses(acme, 1)
    await set_threshold(acme, "18.00")
    await uses(acme, 1)

    assert await warned_at(acme) == ["20.00"]
    await check_laws(house)
