"""A stub OpenAI and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from gateway.dev.stub_openai import StubOpenAI
from tests.gateway.dev.stub_caller import HEADERS


@pytest.fixture
async def openai() -> AsyncIterator[StubOpenAI]:
    """A stub that listens."""
    async with StubOpenAI.serving() as stub:
        yield stub


@pytest.fixture
async def client(openai: StubOpenAI) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client of it."""
    async with httpx2.AsyncClient(
        base_url=openai.base_url, headers=HEADERS, trust_env=False, timeout=10
    ) as client:
        yield client
