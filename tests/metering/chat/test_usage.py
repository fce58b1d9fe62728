"""OpenAI's usage object becomes a usage in which every token is counted once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.chat.usage import read_usage
from metering.usage import Unit, Usage


def read(usage: Any) -> tuple[Usage | None, list[str]]:
    flagged: list[str] = []
    return read_usage(json.dumps(usage).encode(), flagged), flagged


def reported(prompt: Any = 100, completion: Any = 10, **details: Any) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": 8, "rejected_prediction_tokens": 1},
    }


def test_details_are_parts_of_the_totals() -> None:
    """Cached and written tokens are taken out of the input; reasoning is inside the output."""
    usage, flagged = read(reported(cached_tokens=60, cache_write_tokens=30))

    assert usage == Usage(
        {Unit.INPUT: 10, Unit.CACHED_INPUT: 60, Unit.CACHE_WRITE_30M: 30, Unit.OUTPUT: 10}
    )
    assert flagged == []


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.data())
def test_no_token_is_lost_or_counted_twice(prompt: int, output: int, data: st.DataObject) -> None:
    """The parts add up to OpenAI's totals."""
    cached = data.draw(st.integers(0, prompt))
    written = data.draw(st.integers(0, prompt - cached))
    for_12h = data.draw(st.integers(0, written))
    split = {"ttl_30m_tokens": written - for_12h, "ttl_12h_tokens": for_12h}
    usage, flagged = read(
        reported(
            prompt,
            output,
            cached_tokens=cached,
            cache_write_tokens=written,
            cache_write_tokens_details=split,
        )
    )

    assert usage is not None
    assert (usage.input_tokens, usage.tokens, flagged) == (prompt, prompt + output, [])
    assert (usage[Unit.CACHED_INPUT], usage[Unit.CACHE_WRITE_12H]) == (cached, for_12h)


def test_explicit_zero_is_a_usage() -> None:
    """Zero is what OpenAI says, not a missing figure."""
    assert read(reported(0, 0)) == (Usage(), [])


@pytest.mark.parametrize("bad", [-1, True, 1.5, "5", None, 10**9 + 1, 10**30, [], {}])
@pytest.mark.parametrize("key", ["prompt_tokens", "completion_tokens"])
def test_total_that_is_no_count_is_not_believed(key: str, bad: Any) -> None:
    """Then the text is counted, and the row is flagged."""
    assert read(reported() | {key: bad}) == (None, ["usage_not_understood"])


@pytest.mark.parametrize("usage", [{}, [], 5, "x", {"prompt_tokens": 5}])
def test_usage_without_totals_is_not_believed(usage: Any) -> None:
    """Half a usage is none."""
    assert read(usage) == (None, ["usage_not_understood"])


@pytest.mark.parametrize("bad", [-1, True, 1.5, "5", 10**30])
@pytest.mark.parametrize("key", ["cached_tokens", "cache_write_tokens"])
def test_odd_detail_leaves_the_totals_as_plain_input(key: str, bad: Any) -> None:
    """The totals hold the reasoning, which counting could never see."""
    plain = Usage({Unit.INPUT: 100, Unit.OUTPUT: 10})

    assert read(reported(**{key: bad})) == (plain, ["usage_details_not_understood"])


def test_parts_that_exceed_the_total_are_flagged() -> None:
    """No unit is ever below zero."""
    usage, flagged = read(reported(cached_tokens=80, cache_write_tokens=30))

    assert usage == Usage({Unit.INPUT: 100, Unit.OUTPUT: 10})
    assert flagged == ["usage_details_exceed_total"]


@pytest.mark.parametrize(
    ("written", "split", "for_30m", "for_12h"),
    [
        (30, None, 30, 0),
        (30, {"ttl_30m_tokens": 10}, 30, 0),
        (None, {"ttl_30m_tokens": 10, "ttl_12h_tokens": 5}, 10, 5),
        (10, {"ttl_30m_tokens": 0, "ttl_12h_tokens": 20}, 0, 20),
    ],
)
def test_cache_writes_that_do_not_add_up_take_the_larger_reading(
    written: int | None, split: Any, for_30m: int, for_12h: int
) -> None:
    """What is not split was written for 30 minutes."""
    usage, _ = read(reported(cache_write_tokens=written, cache_write_tokens_details=split))

    assert usage is not None
    assert (usage[Unit.CACHE_WRITE_30M], usage[Unit.CACHE_WRITE_12H]) == (for_30m, for_12h)


def test_audio_that_was_not_asked_for_is_flagged() -> None:
    """The call was refused audio, so there can be none."""
    assert read(reported(audio_tokens=3))[1] == ["audio_without_asking"]


@pytest.mark.parametrize("details", [None, {"cached_tokens": None, "text_tokens": 5, "new": {}}])
def test_missing_and_unknown_details_are_skipped(details: Any) -> None:
    """Other servers leave them out, and OpenAI adds new ones."""
    usage, flagged = read(reported() | {"prompt_tokens_details": details})

    assert usage == Usage({Unit.INPUT: 100, Unit.OUTPUT: 10})
    assert flagged == []
