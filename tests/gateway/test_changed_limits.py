"""Limits of a key that are changed while it is used: running gateways go by the new ones."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from gateway.authenticate import Authenticate
from metering.money import Credits
from tests.house import ADMIN_TOKEN, Acme, House
from tests.one_house import with_limits

pytestmark = pytest.mark.anyio


async def change(house: House, acme: Acme, **limits: Any) -> dict[str, Any]:
    """As an admin; answers when the house has heard of it."""
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    keys = await house.client.get(f"/admin/businesses/{acme.id}/keys", headers=headers)
    newest = keys.json()["data"][0]["id"]
    reply = await house.client.patch(f"/admin/keys/{newest}", json=limits, headers=headers)
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The digests that a process was told to look up anew."""
    told: list[bytes] = []
    forget = Authenticate.forget

    def noted(self: Authenticate, digest: bytes) -> None:
        forget(self, digest)
        told.append(digest)

    monkeypatch.setattr(Authenticate, "forget", noted)
    return told


def code_of(reply: httpx2.Response) -> Any:
    return reply.json()["error"]["code"]


async def test_a_limit_is_lifted_and_set_for_the_next_call(
    house: House, forgotten: list[bytes]
) -> None:
    """The announcement reaches every process, which asks SQL again."""
    acme = await with_limits(await house.business(), requests_per_minute=1)
    assert (await house.chat(acme)).status_code == 200
    assert code_of(await house.chat(acme)) == "rate_limit_exceeded"

    changed = await change(house, acme, requests_per_minute=None)
    await _heard(house, forgotten)
    freed = await house.chat(acme)
    await change(house, acme, requests_per_minute=1)
    await _heard(house, forgotten, times=2)
    limited = await house.chat(acme)

    assert changed["announced"] is True
    assert freed.status_code == 200
    assert "x-ratelimit-limit-requests" not in freed.headers
    assert code_of(limited) == "rate_limit_exceeded"


async def test_a_second_cap_counts_what_was_spent_without_one(
    house: House, forgotten: list[bytes]
) -> None:
    """A key that once had a cap is counted on: taking it away for a while gives nothing away."""
    acme = await with_limits(await house.business(), credit_cap="5.00")
    await house.chat(acme)
    await house.quiet()
    await change(house, acme, credit_cap=None)
    await _heard(house, forgotten)

    for _ in range(3):
        assert (await house.chat(acme)).status_code == 200
    await house.quiet()
    spent = sum((row.credits_used for row in await acme.transactions()), Credits(0))
    await change(house, acme, credit_cap=str(spent))
    await _heard(house, forgotten, times=2)
    refused = await house.chat(acme)

    assert code_of(refused) == "key_credit_cap_reached"
    assert refused.json()["error"]["metadata"]["spent"] == str(spent)


async def _heard(house: House, told: list[bytes], times: int = 1) -> None:
    while len(told) < times:
        await house.parts.stores.redis.ping()
