"""
Requests and tokens a minute, on any schedule: held against a library, and against the sum.

The clock is stopped, so that a schedule of minutes takes milliseconds; the scripts are ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from itertools import count
from typing import Any, TypeVar

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from tests.laws.scripted import CLOCK, HOLD, LIMITS, Ledger

T = TypeVar("T")

GAPS = st.lists(st.one_of(st.integers(0, 50), st.integers(0, 30_000)), min_size=1, max_size=40)
EXAMPLES = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=list(HealthCheck),  # A slow machine is no mistake of the scripts.
)


class Clocked:
    """The scripts on a stopped clock, for many examples."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._ids = count()
        self.ledger = self.run(self._opened(url))

    async def _opened(self, url: str) -> Ledger:
        ledger = Ledger(url)
        await ledger.begin()
        await ledger.open("999999999")
        await ledger.stop_the_clock()
        return ledger

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def begins_anew(self) -> None:
        self.run(self.ledger.redis.delete(LIMITS))

    def now_s(self) -> float:
        return int(self.run(self.ledger.redis.get(CLOCK))) / 1000

    def asks(self, **given: str) -> tuple[str, list[Any]]:
        """A new call; its id and what it is answered."""
        id = f"{HOLD}{next(self._ids)}"
        return id, self.run(self.ledger.hold("1", id=id, **given))

    def close(self) -> None:
        self.run(self.ledger.close())
        self._loop.close()


@pytest.fixture
def clocked(redis_url: str) -> Iterator[Clocked]:
    opened = Clocked(redis_url)
    yield opened
    opened.close()


@EXAMPLES
@given(per_minute=st.integers(1, 20), gaps=GAPS)
def test_requests_are_between_a_moving_window_and_two(
    clocked: Clocked, per_minute: int, gaps: list[int]
) -> None:
    """
    Nobody is refused whom a moving window lets in, nobody let in whom two would refuse.

    A bucket lets in a whole limit at once, and then as much as flows in; so a minute has
    never more than twice the limit, and a refusal means that the last one had all of it.
    """
    clocked.begins_anew()
    every, ms = RateLimitItemPerMinute(1_000), 0.001
    with time_machine.travel(clocked.now_s(), tick=False) as clock:
        window = MovingWindowRateLimiter(MemoryStorage())

        def let_in_within_a_minute(shift_s: float) -> int:
            # Exactly a minute after another both answers are right: look from beside it.
            clock.shift(shift_s)
            count = every.amount - window.get_window_stats(every, "key").remaining
            clock.shift(-shift_s)
            return int(count)

        for gap in gaps:
            clocked.run(clocked.ledger.later(gap))
            clock.shift(gap / 1000)
            _, answer = clocked.asks(requests=str(per_minute))
            if answer[0] == "OK":
                assert window.hit(every, "key")
                assert let_in_within_a_minute(+ms) <= 2 * per_minute
            else:
                assert answer[2] == "requests"
                assert let_in_within_a_minute(-ms) >= per_minute


@EXAMPLES
@given(per_minute=st.integers(1, 10_000), gaps=GAPS)
def test_who_waits_as_long_as_told_is_let_in(
    clocked: Clocked, per_minute: int, gaps: list[int]
) -> None:
    """And a millisecond before is not."""
    clocked.begins_anew()
    tokens = str(max(1, per_minute // 3))
    for gap in gaps:
        clocked.run(clocked.ledger.later(gap))
        _, answer = clocked.asks(per_minute=str(per_minute), tokens=tokens)
        if answer[0] == "LIMITED":
            clocked.run(clocked.ledger.later(answer[3] - 1))
            assert clocked.asks(per_minute=str(per_minute), tokens=tokens)[1][0] == "LIMITED"
            clocked.run(clocked.ledger.later(1))
            assert clocked.asks(per_minute=str(per_minute), tokens=tokens)[1][0] == "OK"


@EXAMPLES
@given(
    calls=st.lists(
        st.tuples(
            st.integers(0, 20_000), st.integers(0, 1000), st.integers(0, 1000), st.booleans()
        ),
        min_size=1,
        max_size=40,
    )
)
def test_tokens_used_are_never_more_than_what_has_flowed_in(
    clocked: Clocked, calls: list[tuple[int, int, int, bool]]
) -> None:
    """However late unused tokens come back: a full bucket and the flow since the beginning."""
    clocked.begins_anew()
    running: list[tuple[str, int]] = []
    used, flowed_ms = 0, 0
    for gap, taken, share, ends in calls:
        clocked.run(clocked.ledger.later(gap))
        flowed_ms += gap
        if ends and running:
            id, tokens = running.pop(share % len(running))
            clocked.run(clocked.ledger.settle("0", id=id, tokens=str(tokens)))
        id, answer = clocked.asks(per_minute="1000", tokens=str(taken))
        if answer[0] == "OK":
            used += min(taken, share)
            running.append((id, min(taken, share)))
        assert used * 60_000 <= 1000 * (60_000 + flowed_ms)


def test_a_call_that_settles_at_once_has_taken_what_it_used(clocked: Clocked) -> None:
    """Ten thousand tokens taken and ten used are ten."""
    clocked.begins_anew()
    for _ in range(99):
        id, answer = clocked.asks(per_minute="10990", tokens="10000")
        assert answer[0] == "OK"
        clocked.run(clocked.ledger.settle("0", id=id, tokens="10"))

    assert clocked.asks(per_minute="10990", tokens="10001")[1][0] == "LIMITED"
    assert clocked.asks(per_minute="10990", tokens="10000")[1][0] == "OK"
