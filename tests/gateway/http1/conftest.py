"""The transport under test, on both event loops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.http1 import Http1Transport


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The gateway runs on uvloop, and on asyncio where there is none."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def transport() -> AsyncIterator[Http1Transport]:
    """A transport that must have nothing left to do at the end."""
    transport = Http1Transport(max_connections=4)
    yield transport
    await transport.aclose()

    assert transport.active == 0
    assert transport.waiting == 0
