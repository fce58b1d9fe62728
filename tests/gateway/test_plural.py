"""Numbers with their nouns, and sentences of libraries within ours."""

from __future__ import annotations

import pytest

from gateway.plural import counted, without_capital


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 lines"), (1, "1 line"), (2, "2 lines"), (1204, "1,204 lines")]
)
def test_a_noun_fits_its_number(number: int, text: str) -> None:
    """One is one; nothing is many."""
    assert counted(number, "line", "lines") == text


@pytest.mark.parametrize(
    ("sentence", "text"),
    [("Input should be 1", "input should be 1"), ("URL scheme", "URL scheme"), ("", "")],
)
def test_a_sentence_goes_on_without_its_capital(sentence: str, text: str) -> None:
    """An abbreviation keeps its own."""
    assert without_capital(sentence) == text
