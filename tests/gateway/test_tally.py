"""The tally: which time is whose."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway import tally as module
from gateway.tally import Tally, Timing

CHAT = "chat.completions"


def a_call(**times: Any) -> Any:
    """A call that was granted its hold and answered whole, at these monotonic seconds."""
    quote = SimpleNamespace(row=SimpleNamespace(id="m"), call=SimpleNamespace(streams=False))
    given = {"answered_at": None, "first_byte_ms": None, **times}
    told = {"was_fitted": False, "cut_by_caller": False, "is_replay": False, "complete": True}
    return SimpleNamespace(quote=quote, hold=object(), **told, **given)


def ended(monkeypatch: pytest.MonkeyPatch, *, at: float, **times: Any) -> dict[str, float]:
    """The sums of the timings after such a call."""
    monkeypatch.setattr(module, "monotonic", lambda: at)
    tally = Tally()
    answer: Any = SimpleNamespace(status=200, code="")
    tally.call_ended(CHAT, a_call(**times), answer)
    return {
        name.removeprefix("gateway_"): timing.sum_s
        for name, timings in tally.timings.items()
        for labels, timing in timings.items()
        if labels == (CHAT, "false")
    }


def test_a_reply_in_one_piece_adds_what_is_before_and_after_openai(monkeypatch):
    """Begun at 100.0, asked at 100.5, answered at 103.0, over at 103.25."""
    times = {"begun": 100.0, "started": 100.25, "asked_at": 100.5, "answered_at": 103.0}

    sums = ended(monkeypatch, at=103.25, first_byte_ms=2750, **times)

    assert sums == {"added_seconds": 0.75, "call_seconds": 3.25, "first_byte_seconds": 3.0}


def test_a_stream_adds_what_is_before_openai(monkeypatch):
    """Its chunks are passed on while it runs, so nothing comes after."""
    times = {"begun": 100.0, "started": 100.25, "asked_at": 100.5}

    sums = ended(monkeypatch, at=109.0, first_byte_ms=750, **times)

    assert sums == {"added_seconds": 0.5, "call_seconds": 9.0, "first_byte_seconds": 1.0}


def test_a_call_without_a_first_byte_has_no_such_time(monkeypatch):
    """OpenAI did not answer: 0 would be a lie."""
    sums = ended(monkeypatch, at=109.0, begun=100.0, started=100.0, asked_at=100.5)

    assert sums == {"added_seconds": 0.5, "call_seconds": 9.0}


def test_a_bound_belongs_to_its_bucket() -> None:
    """Prometheus' `le` is less or equal; past the last bound is +Inf."""
    timing = Timing((0.1, 0.2))

    for seconds in (0.05, 0.1, 0.15, 0.2, 0.3):
        timing.took(seconds)

    assert timing.counts == [2, 2, 1]
