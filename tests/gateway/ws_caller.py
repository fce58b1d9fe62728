"""A caller of websockets, and what its calls are to be charged."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.dev.stub_bills import Bill
from metering.money import Credits
from metering.usage import Usage
from storage.keys import KeyHolder
from tests.house import Acme, House

REALTIME = "gpt-realtime"
SECOND = base64.b64encode(bytes(48_000)).decode()  # Of PCM; the stub takes it for a turn.


class Line:
    """One open websocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []

    async def say(self, kind: str, **fields: Any) -> None:
        """Send a frame."""
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def event(self) -> dict[str, Any]:
        """The next frame."""
        event: dict[str, Any] = json.loads(await self.socket.recv())
        self.events.append(event)
        return event

    async def until(self, *kinds: str) -> dict[str, Any]:
        """Take frames until one of these types has come; gives that one."""
        while True:
            event = await self.event()
            if event["type"] in kinds:
                return event

    async def ended(self) -> int:
        """Take frames until it is closed; gives the code."""
        with suppress(ConnectionClosed):
            while True:
                await self.event()
        code = self.socket.close_code
        assert code is not None
        return code


@asynccontextmanager
async def line(house: House, path: str, key: str | None, **more: Any) -> AsyncIterator[Line]:
    """An open websocket of the gateway."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    url = house.url.replace("http://", "ws://") + path
    headers |= more.pop("headers", {})
    async with connect(url, additional_headers=headers, proxy=None, **more) as socket:
        yield Line(socket)


async def refused(house: House, path: str, key: str | None, **more: Any) -> tuple[int, Any]:
    """The status and the error of a websocket that is refused."""
    try:
        async with line(house, path, key, **more):
            raise AssertionError("it was let in")
    except InvalidStatus as answer:
        body = json.loads(answer.response.body or b"null")
        return answer.response.status_code, body["error"]


def switch_on(house: House, *names: str) -> None:
    """Switch something on for every business of the house."""
    authenticate = house.parts.loops.authenticate
    find = authenticate._find

    async def found(digests: list[bytes]) -> dict[bytes, KeyHolder]:
        holders = await find(digests)
        switches = frozenset(names)
        return {digest: replace(holder, switches=switches) for digest, holder in holders.items()}

    authenticate._find = found


def price_of(house: House, bill: Bill) -> Credits:
    """What a bill of a websocket is to be charged."""
    rate = house.parts.pricing.book.card().rate(bill.model)
    used = Usage.from_names(bill.units)
    return house.parts.pricing.tariff.charge(rate, used, None, False).credits_used


async def charged_is_billed(house: House, acme: Acme) -> None:
    """Every bill has its row, of just that charge, and nothing is held any more."""
    rows = [row for row in await acme.transactions() if row.outcome == "settled"]
    bills = [bill for bill in house.openai.billed if any(bill.units.values())]

    assert sorted(row.credits_used for row in rows) == sorted(
        price_of(house, bill) for bill in bills
    )
    assert await acme.held() == Credits(0)
