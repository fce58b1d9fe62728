"""Errors on websockets: those of OpenAI's that are passed on do not name our account."""

from __future__ import annotations

import pytest

from tests.gateway.ws_caller import line
from tests.house import MODEL, House

pytestmark = pytest.mark.anyio


async def test_an_error_of_openai_s_does_not_name_our_account(house: House) -> None:
    """As over HTTPS: its rate limits name the organisation that all businesses share."""
    acme = await house.business()
    house.openai.changes(status=429, code="limit of org-AbCdEf0123456789")

    async with line(house, "/v1/responses", acme.key) as caller:
        await caller.say("response.create", model=MODEL, input="Hello")
        told = await caller.until("error")

    assert told["error"]["code"] == "limit of org-***"
