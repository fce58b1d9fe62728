"""How long work shows that it goes on: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

import typer

LINE_EVERY_S = 5.0


class Advance(Protocol):
    """Called with how many more are done."""

    def __call__(self, by: int) -> None: ...


@contextmanager
def progress(total: int, noun: str) -> Iterator[Advance]:
    """
    Show on stderr how many of `total` are done, until the block ends.

    Work that is done within five seconds says nothing outside a terminal.
    """
    with _bar(total, noun) if sys.stderr.isatty() else _lines(total, noun) as advance:
        yield advance


@contextmanager
def _bar(total: int, noun: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(noun, total=total)
        yield lambda by: shown.advance(task, by)


@contextmanager
def _lines(total: int, noun: str) -> Iterator[Advance]:
    done, begun, said = 0, monotonic(), monotonic()

    def advance(by: int) -> None:
        nonlocal done, said
        done += by
        if monotonic() - said >= LINE_EVERY_S:
            said = monotonic()
            rate = done / (said - begun)
            left_s = max(0, total - done) / rate if rate else 0
            typer.echo(
                f"{done:,} of {total:,} {noun}, {rate:,.0f} a second, {left_s:,.0f} s left",
                err=True,
            )

    yield advance
