"""The alarm rings at the last time that was set, and once."""

from __future__ import annotations

import asyncio

import pytest

from gateway.http1_alarm import Alarm

pytestmark = pytest.mark.anyio

SOON_S = 0.02
LATER_S = 3600.0


async def test_alarm_that_is_moved_forward_rings_then() -> None:
    """A nearer time does not wait for the timer of a farther one."""
    loop = asyncio.get_running_loop()
    rung = asyncio.Event()
    alarm = Alarm(loop, rung.set)

    alarm.set(loop.time() + LATER_S)
    alarm.set(loop.time() + SOON_S)

    await asyncio.wait_for(rung.wait(), 10)


async def test_alarm_that_is_moved_back_does_not_ring_before() -> None:
    """The timer of the nearer time fires, looks, and is set again."""
    loop = asyncio.get_running_loop()
    rung = asyncio.Event()
    alarm = Alarm(loop, rung.set)
    later = loop.time() + 3 * SOON_S

    alarm.set(loop.time() + SOON_S)
    alarm.set(later)
    await asyncio.wait_for(rung.wait(), 10)

    assert loop.time() >= later


@pytest.mark.parametrize("silence", ["set", "stop"])
async def test_alarm_that_is_switched_off_is_silent(silence: str) -> None:
    """For the time being, or for good."""
    loop = asyncio.get_running_loop()
    rung: list[int] = []
    alarm = Alarm(loop, lambda: rung.append(1))

    alarm.set(loop.time() + SOON_S)
    alarm.set(None) if silence == "set" else alarm.stop()
    other = asyncio.Event()
    loop.call_later(3 * SOON_S, other.set)
    await other.wait()

    assert not rung
