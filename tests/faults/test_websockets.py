"""A gateway that is killed, or told to stop, while a response of a websocket is under way."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from storage import transactions
from storage.transactions import Transaction
from tests.faults.site import Site
from tests.house import MODEL

pytestmark = pytest.mark.anyio

SLOW = '[[stub {"chunks": 1000, "delay_ms": 2}]]'


async def test_a_websocket_that_was_cut_by_a_death_costs_what_was_noted_of_it(
    one_site: Site,
) -> None:
    """Its hold has a lease and a checkpoint as every call's: a sweep charges that."""
    site = one_site
    key = await site.opens_business()
    await site.gateway.starts()
    listening = asyncio.create_task(asked(site, key))
    await site.noted()

    site.gateway.is_killed()
    await listening
    await site.gateway.starts()
    await site.quiet()

    (row,) = await rows(site)
    assert (row.outcome, row.estimated, row.success) == ("orphaned", True, False)
    assert row.credits_used.micro > 0


async def test_sigterm_lets_a_response_end_and_then_says_1012(one_site: Site) -> None:
    """What runs is told to its end and charged exactly; then the socket is closed politely."""
    site = one_site
    key = await site.opens_business()
    await site.gateway.starts()
    listening = asyncio.create_task(asked(site, key))
    await site.noted()

    exit_code = await site.gateway.is_stopped()
    last, code = await listening

    (row,) = await rows(site)
    assert (exit_code, code) == (0, 1012), site.gateway.last_words
    assert last == "response.completed"
    assert (row.outcome, row.estimated, row.success) == ("settled", False, True)
    assert row.usage["output"] == site.bills[0].units["output"]


async def asked(site: Site, key: str) -> tuple[str, int | None]:
    """Ask for a slow response and listen to the end; the last frame's type, and the code."""
    url = site.gateway.url.replace("http://", "ws://") + "/v1/responses"
    headers = {"Authorization": f"Bearer {key}"}
    last = ""
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        await socket.send(json.dumps({"type": "response.create", "model": MODEL, "input": SLOW}))
        try:
            while True:
                last = json.loads(await socket.recv())["type"]
        except ConnectionClosed:
            pass
    return last, socket.close_code


async def rows(site: Site) -> list[Transaction]:
    """What is in SQL."""
    async with site.database.read() as connection:
        return list(await transactions.page(connection, site.business, limit=10))
