"""The files of `gateway import`: the CSV that comes in, and the keys that go out."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TextIO

from gateway.admin.imported import COLUMNS, NEEDED, Imported, Line, LineRefused, checked
from gateway.cli.exits import CommandRefused

KEY_COLUMNS = ("reference", "business_id", "key")


def lines_of(path: Path, now: datetime) -> tuple[list[Line], list[str]]:
    """
    The lines of a file, and every problem of those that are not as they must be.

    Raises:
        CommandRefused: It cannot be read, or its columns are not those of an import.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return _lines(csv.reader(file, strict=True), now)
    except OSError as error:
        raise CommandRefused(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandRefused(f"{path} is not UTF-8; save it as CSV UTF-8") from error
    except csv.Error as error:
        raise CommandRefused(f"{path} is not CSV: {error}") from error


def _lines(reader: Iterator[list[str]], now: datetime) -> tuple[list[Line], list[str]]:
    header = [cell.strip().lower() for cell in next(reader, [])]
    _check_header(header)
    lines: list[Line] = []
    problems: list[str] = []
    numbers: dict[str, int] = {}
    for cells in reader:
        number: int = reader.line_num  # type: ignore[attr-defined]
        if not any(cell.strip() for cell in cells):
            continue
        wrong = []
        if len(cells) != len(header):
            wrong = [f"has {len(cells)} cells; the header has {len(header)}"]
        else:
            fields = dict(zip(header, cells, strict=True))
            try:
                lines.append(checked(number, fields, now))
            except LineRefused as refused:
                wrong = [str(each) for each in refused.wrong]
            reference = fields["reference"].strip()
            first = numbers.setdefault(reference, number) if reference else number
            if first != number:
                wrong.append(f"reference: is that of line {first}; each line has its own")
        problems += [f"line {number}: {each}" for each in wrong]
    return lines, problems


def _check_header(header: Sequence[str]) -> None:
    problems = []
    for name in header:
        if name not in COLUMNS:
            close = get_close_matches(name, COLUMNS, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            problems.append(f"line 1: {name[:60]!r} is not a column{meant}")
    problems += [f"line 1: the column {name} is missing" for name in NEEDED if name not in header]
    if len(set(header)) != len(header):
        problems.append("line 1: a column is there twice")
    if problems:
        allowed = ", ".join(name if name in NEEDED else f"[{name}]" for name in COLUMNS)
        problems.append(f"the columns are {allowed}, in any order, with commas between them")
        raise CommandRefused("\n".join(problems))


@contextmanager
def keys_file(path: Path | None) -> Iterator[KeysFile | None]:
    """
    A file for keys that only its owner can read; one that an earlier run began goes on.

    Raises:
        CommandRefused: It is another file, or others may read it.
    """
    if path is None:
        yield None
        return
    try:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CommandRefused(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(opened, "r+", encoding="utf-8", newline="") as file:
        if os.fstat(opened).st_mode & 0o077:
            raise CommandRefused(f"{path} can be read by others; chmod 600 it, or name another")
        header = file.readline().strip()
        if header not in ("", ",".join(KEY_COLUMNS)):
            raise CommandRefused(f"{path} is another file; name one that is not there")
        file.seek(0, os.SEEK_END)
        yield KeysFile(file, is_new=not header)


class KeysFile:
    """Where the keys go."""

    def __init__(self, file: TextIO, *, is_new: bool) -> None:
        self._file = file
        self._rows = csv.writer(file, lineterminator="\n")
        if is_new:
            self._rows.writerow(KEY_COLUMNS)

    def write(self, imported: Sequence[Imported]) -> None:
        """On disk when this returns: SQL will have their digests alone."""
        for each in imported:
            self._rows.writerow((each.reference, each.business, each.key))
        self._file.flush()
        os.fsync(self._file.fileno())
