"""A usage says how many of each unit, and nothing twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import INPUT_TOKENS, OUTPUT_TOKENS, Unit, Usage

counts = st.dictionaries(st.sampled_from(Unit), st.integers(0, 10**9))


def test_unit_that_was_not_used_counts_zero_and_is_absent() -> None:
    """Zero is the same as not there."""
    usage = Usage({Unit.INPUT: 3, Unit.OUTPUT: 0})

    assert usage[Unit.OUTPUT] == 0
    assert Unit.OUTPUT not in usage
    assert dict(usage) == dict(usage.items()) == {Unit.INPUT: 3}
    assert usage == Usage({Unit.INPUT: 3})


def test_negative_count_is_a_mistake_of_ours() -> None:
    """A reader rejects bad figures before they get here."""
    with pytest.raises(AssertionError):
        Usage({Unit.INPUT: -1})


@given(counts)
def test_tokens_are_those_that_went_in_and_came_out(counts: dict[Unit, int]) -> None:
    """Seconds and searches are no tokens."""
    usage = Usage(counts)
    went_in = sum(counts.get(unit, 0) for unit in INPUT_TOKENS)
    came_out = sum(counts.get(unit, 0) for unit in OUTPUT_TOKENS)

    assert (usage.input_tokens, usage.tokens) == (went_in, went_in + came_out)


@given(counts)
def test_usage_that_is_stored_by_name_is_read_back(counts: dict[Unit, int]) -> None:
    """A row of last year can be rated again."""
    assert Usage.from_names(Usage(counts).as_names()) == Usage(counts)


def test_unit_is_found_by_its_name() -> None:
    """Stored names and units are one key, so a price is found by either."""
    assert {Unit.INPUT: 1}["input"] == 1  # type: ignore[index]
