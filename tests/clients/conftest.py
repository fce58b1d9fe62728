"""The official client of OpenAI, as an app has it: only its base URL is another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from gateway.doors import Doors
from tests.house import House
from tests.one_house import house, valkey_url  # noqa: F401  (Fixtures.)

Sync = Callable[..., OpenAI]


class Door(list[str]):
    """Each request that came to the gateway's door, as `POST /v1/chat/completions`."""

    def __init__(self) -> None:
        self.answers: list[int] = []


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    """Watches what comes to the gateway and what it is answered."""
    seen = Door()
    through: Callable[..., Awaitable[None]] = Doors.__call__

    async def watched(doors: Doors, scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def answer(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                seen.answers.append(message["status"])
            await send(message)

        seen.append(f"{scope['method']} {scope['raw_path'].decode()}")
        await through(doors, scope, receive, answer)

    monkeypatch.setattr(Doors, "__call__", watched)
    return seen


@pytest.fixture
def sync(house: House) -> Iterator[Sync]:  # noqa: F811
    """Makes a blocking client; call it in a thread, because the gateway is in this one."""
    made: list[OpenAI] = []

    def make(key: str, **settings: Any) -> OpenAI:
        client = OpenAI(base_url=f"{house.url}/v1", api_key=key, **settings)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def asynchronous(house: House) -> Callable[..., AsyncOpenAI]:  # noqa: F811
    """Makes a client for `async with`."""

    def make(key: str, **settings: Any) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{house.url}/v1", api_key=key, **settings)

    return make
