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

BELOW = "\n  "
WIDE = 400  # Columns where nobody looks: a pipe must not get ids cut in two.


class Column(NamedTuple):
    """A column of a table: its title, and the field it shows."""

    title: str
    field: str
    is_amount: bool = False


def rows(
    found: Iterable[Mapping[str, Any]],
    columns: Sequence[Column],
    *,
    as_json: bool,
    limit: int | None = None,
) -> None:
    """
    Print a list, so that no cell is cut: where a table is too wide, ids go under the cells
    beside them, and where that is too wide, each record gets its own lines.

    Args:
        limit: So many were asked for; there may be more then, and how to see them is said.
    """
    records = list(found)
    if as_json:
        for record in records:
            document(record)
        return
    console = _console()
    table = _fitting(console, records, columns)
    if table is not None:
        console.print(table)
    else:
        for record in records:
            titled = {each.title or each.field: record.get(each.field) for each in columns}
            one(titled, as_json=False)
            console.print()
    if limit is not None and len(records) == limit and "id" in records[-1]:
        typer.echo(f"there may be more: --after {records[-1]['id']}", err=True)


def _fitting(
    console: Console, records: Sequence[Mapping[str, Any]], columns: Sequence[Column]
) -> Table | None:
    """The widest form of a table that this console does not break; a pipe has no edge."""
    table = _table(records, columns)
    if console.width >= WIDE:
        return table
    unbroken = console.options.update(width=WIDE)
    for form in (table, _table(_with_ids_below(records, columns), columns[1:])):
        if console.measure(form, options=unbroken).maximum <= console.width:
            return form
    return None


def _table(records: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.is_amount else "left",
            no_wrap=column.field == "id",
        )
    for record in records:
        table.add_row(*(_cell(record.get(column.field)) for column in columns))
    return table


def _with_ids_below(
    records: Sequence[Mapping[str, Any]], columns: Sequence[Column]
) -> list[Mapping[str, Any]]:
    """The first column's cells as a second line of the second column's."""
    first, second = columns[0].field, columns[1].field
    return [
        {**record, second: Text(BELOW).join([_cell(record.get(second)), _cell(record.get(first))])}
        for record in records
    ]


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
    if isinstance(value, Text):
        return value
    if value is None:
        return Text("–")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, Mapping | list):
        return Text(printable(json.dumps(value, ensure_ascii=False)))
    return Text(printable(str(value)))


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=WIDE)
