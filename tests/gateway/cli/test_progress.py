"""Long work shows that it goes on: a bar in a terminal, lines now and then elsewhere."""

from __future__ import annotations

import sys

import pytest

from gateway.cli import progress as shown
from gateway.cli.progress import progress


def test_lines_say_how_much_is_done(capsys, monkeypatch):
    """How many of how many, how fast, and how long it will take; on stderr."""
    monkeypatch.setattr(shown, "LINE_EVERY_S", 0)

    with progress(10_000, "businesses") as advance:
        advance(200)
        advance(200)

    said = capsys.readouterr()
    assert said.out == ""
    first, second = said.err.splitlines()
    assert first.startswith("200 of 10,000 businesses, ")
    assert second.startswith("400 of 10,000 businesses, ")
    assert second.endswith(" s left")


def test_short_work_says_nothing(capsys):
    """Nobody waits five seconds for it."""
    with progress(3, "businesses") as advance:
        advance(3)

    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_that_goes_away(capsys, monkeypatch):
    """What is printed afterwards stands alone."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")

    with progress(10, "businesses") as advance:
        advance(10)

    said = capsys.readouterr()
    assert said.out == ""
    assert "businesses" in said.err
    assert "10/10" in said.err


@pytest.mark.parametrize("kind", ["_bar", "_lines"])
def test_ctrl_c_is_passed_on(kind):
    """The command tells what was done; the bar only ends."""

    def interrupted() -> None:
        with getattr(shown, kind)(10, "businesses") as advance:
            advance(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
