"""The stub OpenAI waits where a test holds it back."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from gateway.dev.stub_gates import Turnstile
from gateway.dev.stub_openai import StubOpenAI
from tests.gateway.dev.stub_caller import a_call, chat

pytestmark = pytest.mark.anyio


async def test_replies_wait_at_the_gate(openai: StubOpenAI, client: httpx2.AsyncClient) -> None:
    """A test can have calls on their way for as long as it likes."""
    openai.gate = gate = asyncio.Event()
    calls = [asyncio.create_task(chat(client, a_call())) for _ in range(3)]
    await openai.received(3)

    assert not any(call.done() for call in calls)

    gate.set()
    await asyncio.gather(*calls)

    assert len(openai.billed) == 3


async def test_turnstile_lets_so_many_through() -> None:
    """And all, once it is open."""
    turnstile = Turnstile()
    passed = 0

    async def goes_through() -> None:
        nonlocal passed
        await turnstile.wait()
        passed += 1

    tasks = [asyncio.create_task(goes_through()) for _ in range(5)]
    turnstile.lets_through(2)
    for _ in range(10):
        await asyncio.sleep(0)
    before = passed
    turnstile.opens()
    await asyncio.gather(*tasks)

    assert before == 2
    assert passed == 5
