"""A meter of chat completions whose replies OpenAI keeps, and a business that owns objects."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from metering.call import Call
from metering.meters.chat_completions import ChatCompletions
from storage import businesses, owners
from storage.owners import Owned
from tests.house import Acme, House


class Storing(ChatCompletions):
    """Lets any field pass that names objects, and says that OpenAI keeps the reply."""

    def __init__(self) -> None:
        self.before: list[int | None] = []

    def read(self, call: Call) -> None:
        self.before.append(call.before_tokens)

    def prepare(self, call: Call, *, output_limit: int) -> None:
        super().prepare(call, output_limit=output_limit)
        call.stores = True


def store_replies(house: House) -> Storing:
    """Let this house keep what chat completions answer."""
    meter = Storing()
    house.parts.pricing.quotes._meters = {"chat.completions": meter}
    return meter


async def own(acme: Acme, *ids: str, kind: str = "file", tokens: int | None = None) -> None:
    """Give these objects to a business."""
    at = datetime.now(UTC)
    made = [Owned(id, kind, acme.id, None, None, at, tokens) for id in ids]
    async with acme.house.database.write() as connection:
        await owners.add(connection, made)


async def owned(acme: Acme, *ids: str) -> dict[str, Owned]:
    """Those of these objects that a business has."""
    async with acme.house.database.read() as connection:
        return await owners.find(connection, acme.id, ids)


async def switch_on(acme: Acme, names: Iterable[str]) -> None:
    """Switch these on for a business, at once."""
    change: dict[str, Any] = {"switches": frozenset(names)}
    async with acme.house.database.write() as connection:
        await businesses.change(connection, acme.id, change, at=datetime.now(UTC))
    acme.house.parts.loops.authenticate._known.clear()
