"""Tokens are counted with the shipped encodings: offline, exactly, and in bounded time."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import tokens
from metering.tokens import CUT_TOKENS, MOST_CHARACTERS, count, encoding_for

ENCODINGS = ["o200k_base", "cl100k_base"]


@pytest.mark.parametrize(
    ("text", "o200k", "cl100k"),
    [
        ("", 0, 0),
        ("tiktoken is great!", 6, 6),
        ("antidisestablishmentarianism", 6, 6),
        ("お誕生日おめでとう", 8, 9),
    ],
)
def test_counts_are_those_of_the_cookbook(text: str, o200k: int, cl100k: int) -> None:
    """OpenAI's own examples."""
    assert (count(text, "o200k_base"), count(text, "cl100k_base")) == (o200k, cl100k)


def test_control_token_in_a_text_is_plain_text() -> None:
    """A caller who writes <|endoftext|> neither stops the count nor gets it for one token."""
    assert count("<|endoftext|>", "o200k_base") > 1


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=st.text())
def test_token_covers_at_least_one_byte(encoding: str, text: str) -> None:
    """This is what makes the bytes of a body a bound of its tokens."""
    assert count(text, encoding) <= len(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(
    words=st.lists(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), min_size=1, max_size=30
    )
)
def test_long_text_is_counted_as_its_pieces_are(encoding: str, words: list[str]) -> None:
    """A cut is where the encoding cuts too, so the count is the same."""
    text = " word".join(words)
    unit = f"{text} end of it "
    long = unit * (3 * MOST_CHARACTERS // len(unit) + 1)

    assert count(long, encoding) == len(tokens._encoding(encoding).encode_ordinary(long))


@pytest.mark.parametrize("letter", ["a", "ab!", "漢", " ", "\n", "a\n", "1", "'s"])
def test_text_without_a_place_to_cut_is_only_over_counted(letter: str) -> None:
    """A little more for each hard cut, and no long wait for one endless word."""
    text = letter * (5 * MOST_CHARACTERS // len(letter))
    exact = len(tokens._encoding("o200k_base").encode_ordinary(text))

    assert exact <= count(text, "o200k_base") <= exact + 7 * CUT_TOKENS


def test_runs_of_blanks_are_never_cut() -> None:
    """A run of 300 blanks is a few tokens; two halves of it would be more."""
    text = ("x" + " " * 300) * (4 * MOST_CHARACTERS // 300)

    assert count(text, "o200k_base") == len(tokens._encoding("o200k_base").encode_ordinary(text))


def test_hard_cut_that_saves_a_token_is_made_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encodings are not monotone: this text has a token more than its two halves."""
    text = "--'s/''s🙂\n"
    exact = count(text, "o200k_base")
    monkeypatch.setattr(tokens, "MOST_CHARACTERS", 6)

    assert exact == count(text[:6], "o200k_base") + count(text[6:], "o200k_base") + 1
    assert exact <= count(text, "o200k_base")


def test_every_piece_is_short() -> None:
    """Time grows faster than the length of a word, so no piece may be longer."""
    pieces = [piece for piece, _ in tokens._pieces("a" * 1_000_000 + " b" * 50_000)]

    assert max(map(len, pieces)) <= MOST_CHARACTERS
    assert sum(map(len, pieces)) == 1_100_000


def test_encoding_is_loaded_once_for_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight callers at once cost one load."""
    loads: list[str] = []
    load = tokens._load

    def noted_load(name: str) -> object:
        loads.append(name)
        return load(name)

    monkeypatch.setattr(tokens, "_encodings", {})
    monkeypatch.setattr(tokens, "_load", noted_load)
    together = threading.Barrier(8)

    def one_caller() -> int:
        together.wait(timeout=10)
        return count("once", "cl100k_base")

    with ThreadPoolExecutor(8) as pool:
        counts = [job.result() for job in [pool.submit(one_caller) for _ in range(8)]]

    assert counts == [1] * 8
    assert loads == ["cl100k_base"]


def test_changed_file_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoding that is not OpenAI's would miscount silently."""
    monkeypatch.setitem(tokens._DIGESTS, "cl100k_base", hashlib.sha256(b"other").hexdigest())

    with pytest.raises(AssertionError, match="not the real file"):
        tokens._load("cl100k_base")


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-6-luna", "o200k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("ft:gpt-4.1-mini:acme", "o200k_base"),
        ("gpt-4.5-preview", "o200k_base"),
        ("o3", "o200k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
    ],
)
def test_encoding_follows_from_the_name(model: str, encoding: str) -> None:
    """tiktoken's own table knows none of the newer ones."""
    assert encoding_for(model) == encoding
