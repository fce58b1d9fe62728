"""A gateway that is told to stop does stop, whatever its libraries do with a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from gateway.app import _kept, _stop

pytestmark = pytest.mark.anyio


class Deaf:
    """A background loop that asks something of Redis as redis-py may do, and does not hear."""

    def __init__(self) -> None:
        self.asking = asyncio.Event()
        self.swallowed = 0

    async def run(self) -> None:
        while True:
            try:
                self.asking.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                # Before Python 3.12 asyncio.wait_for does so when what it waited for was
                # done in the moment of the cancellation.
                if self.swallowed:
                    raise
                self.swallowed += 1


async def test_a_loop_that_swallows_a_cancellation_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stop of a gateway hung for ever, now and then, before that."""
    monkeypatch.setattr("gateway.app.CANCELLED_AGAIN_S", 0.001)
    loop = Deaf()
    task = asyncio.create_task(_kept(loop))
    await loop.asking.wait()

    await _stop(task)

    assert loop.swallowed == 1
    assert task.cancelled()
