"""Running out: a call is fitted to what is left, then refused with the figures."""

from __future__ import annotations

import json

import pytest

from metering.money import Credits
from tests.house import House

pytestmark = pytest.mark.anyio


async def test_a_call_that_is_too_large_is_fitted_to_the_balance(house: House) -> None:
    """The output limit is lowered to what is affordable, and the caller is told."""
    acme = await house.business("0.10")
    house.openai.worst_case()

    reply = await house.chat(acme, max_completion_tokens=100_000)

    fitted = int(reply.headers["x-credits-max-output-tokens"])
    assert reply.status_code == 200
    assert json.loads(house.openai.requests[0].body)["max_completion_tokens"] == fitted
    (row,) = await acme.transactions()
    assert row.usage["output"] == fitted
    assert row.shortfall == Credits(0)
    assert Credits(0) <= await acme.available() < Credits.parse("0.01")


async def test_a_call_that_does_not_fit_at_all_is_refused_with_the_figures(house: House) -> None:
    """402, what was asked, what was found, what helps; nothing is forwarded."""
    acme = await house.business("0.005")

    reply = await house.chat(acme)

    error = reply.json()["error"]
    assert (reply.status_code, reply.headers["x-should-retry"]) == (402, "false")
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_credits")
    assert "0.005 are available" in error["message"]
    assert error["metadata"]["balance"] == "0.005"
    assert error["metadata"]["affordable_output_tokens"] > 0
    assert house.openai.requests == []
    assert await acme.transactions() == []
    assert await acme.available() == Credits.parse("0.005")


async def test_who_does_not_want_a_call_fitted_is_refused(house: House) -> None:
    """X-Credits-Fit: never."""
    acme = await house.business("0.10")

    reply = await house.chat(
        acme, max_completion_tokens=100_000, headers={"X-Credits-Fit": "never"}
    )

    assert (reply.status_code, reply.json()["error"]["code"]) == (402, "insufficient_credits")


async def test_a_fixed_price_is_never_fitted(house: House) -> None:
    """It is held whole or refused."""
    acme = await house.business("2.49", features=("product_description",))

    reply = await house.chat(acme, headers={"X-Feature": "product_description"})

    assert reply.status_code == 402
    assert reply.json()["error"]["metadata"]["required"] == "2.50"


async def test_crossing_the_threshold_warns_once(house: House) -> None:
    """From 77.50 to 8.00: one low_balance alert, stored with the balance it saw."""
    acme = await house.business("12.50", features=("product_description",))

    for _ in range(3):
        await house.chat(acme, headers={"X-Feature": "product_description"})

    assert await acme.recorded() == Credits.parse("5.00")
    alerts = "SELECT count(*) FROM ai_usage_alerts WHERE alert_type = 'low_balance'"
    assert await house.scalar(alerts) == 1
    seen = "SELECT current_balance_microcredits FROM ai_usage_alerts"
    assert await house.scalar(seen) == 7_500_000


async def test_no_credits_at_all_are_refused(house: House) -> None:
    """A business that never bought anything cannot call."""
    acme = await house.business("0")

    assert (await house.chat(acme)).status_code == 402
