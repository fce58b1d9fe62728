"""What a command prints: a table for people, or one JSON document a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 400  # Columns where nobody looks: a pipe must not get ids cut in two.


class Column(NamedTuple):
    """A column of a table: its title, and the field it shows."""

    title: str
    field: str
    is_amount: bool = False


def rows(found: Iterable[Mapping[str, Any]], columns: Sequence[Column], *, as_json: bool) -> None:
    """Print a list."""
    if as_json:
        for row in found:
            document(row)
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.is_amount else "left",
            no_wrap=column.field == "id",
        )
    for row in found:
        table.add_row(*(_cell(row.get(column.field)) for column in columns))
    _console().print(table)


def one(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one record: a field a line."""
    if as_json:
        document(found)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in found.items():
        table.add_row(Text(name), _cell(value))
    _console().print(table)


def document(found: Mapping[str, Any]) -> None:
    """Print one JSON document on a line of its own."""
    typer.echo(json.dumps(found, ensure_ascii=False))


def line(text: str) -> None:
    """Print a sentence."""
    typer.echo(printable(text))


def printable(text: str) -> str:
    """Text that cannot move the cursor or colour what follows it."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _cell(value: Any) -> Text:
    if value is None:
        return Text("–")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, Mapping | list):
        return Text(printable(json.dumps(value, ensure_ascii=False)))
    return Text(printable(str(value)))


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=WIDE)
