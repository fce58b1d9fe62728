"""Idempotency-Key: what the call is charged, whatever happens while its reply is being kept."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.gateway.repeated import asks
from tests.house import House
from tests.laws.laws import check_laws
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("says_usage", [True, False], ids=["reported", "counted"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_is_settled_as_it_ended(house: House, monkeypatch, stream, says_usage):
    """The caller is given up while the reply is being kept; OpenAI had answered all of it."""
    acme = await house.business()
    if not says_usage:
        house.openai.without_usage()
    store = house.parts.doors._proxy._replays._store

    async def too_long(**_: Any) -> bool:
        raise TimeoutError

    monkeypatch.setattr(store, "keep", too_long)
    try:
        await asks(acme, stream=stream)
    except httpx2.HTTPError:
        pass

    (row,) = await acme.transactions()
    assert (row.success, row.http_status, row.outcome) == (True, 200, "settled")
    if says_usage:
        await charged_as_billed(acme)
    await check_laws(house)
