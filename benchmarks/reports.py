"""
`./run bench --reports`: how long a report takes over one million calls.

    python -m benchmarks.reports [--calls N] [--businesses N] [--write]
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table
from sqlalchemy import event, text

from benchmarks import machine, many_calls
from benchmarks.many_calls import Size
from benchmarks.questions import Report, paged, usage, views
from storage.database import Database
from tests import engines, postgres

RESULTS = Path(__file__).parent / "reports.md"
ROUNDS = 3
PROMISED_MS = 1000.0  # Of each report, on PostgreSQL.


@dataclass(frozen=True)
class Timed:
    """What a report took, each round, in milliseconds; and its plan where it took long."""

    report: str
    rounds: tuple[float, ...]
    plan: str = ""

    @property
    def ms(self) -> float:
        return median(self.rounds)


@dataclass(frozen=True)
class Filled:
    """What an engine holds, and what it took."""

    engine: str
    calls: int
    groups: int
    fill_s: float
    count_s: float
    timed: list[Timed]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill, ask, print; 1 when a report on PostgreSQL takes longer than promised."""
    parser = argparse.ArgumentParser(
        prog="./run bench --reports", description=__doc__.split("\n")[1]
    )
    parser.add_argument("--calls", type=int, default=Size.calls, help="filled in (1000000)")
    parser.add_argument("--businesses", type=int, default=Size.businesses, help="that made them")
    parser.add_argument("--write", action="store_true", help="write benchmarks/reports.md")
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_args(given)
    size = Size(options.calls, options.businesses)
    about = [f"load average at the start: {os.getloadavg()[0]:.1f}", *machine.described()[:1]]
    console = Console(stderr=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reports-")))
        folder.chmod(0o711)  # PostgreSQL may have to be another user than we are.
        engine = engines.start_postgres(folder / "postgres", "-c", "shared_buffers=256MB")
        stack.callback(engine.stop)
        name = postgres.make_database(engine)
        urls = {
            engines.version("postgres"): postgres.database_url(engine.socket_dir, name),
            f"SQLite {sqlite3.sqlite_version}": f"sqlite+aiosqlite:///{folder / 'records.db'}",
        }
        found = [uvloop.run(_measured(on, url, size, console.print)) for on, url in urls.items()]
    _print(found)
    late = [each.report for each in found[0].timed if each.ms > PROMISED_MS]
    print(*(late and ["above one second on PostgreSQL:", *late]), sep="\n  ")
    if options.write:
        command = " ".join(["python -m benchmarks.reports", *given])
        RESULTS.write_text(markdown(found, about, command))
        print(f"written to {RESULTS}")
    return 1 if late else 0


async def _measured(on: str, url: str, size: Size, say: many_calls.Say) -> Filled:
    database = Database.open(url)
    begun = time.perf_counter()
    shops = await many_calls.fill(database, size, lambda line: say(f"{on}: {line}"))
    filled = time.perf_counter()
    counted = await many_calls.count(database, lambda line: say(f"{on}: {line}"))
    assert counted == size.calls, f"{counted} of {size.calls} calls were counted"
    done = time.perf_counter()
    await _settle_down(database)
    async with database.read() as connection:
        groups = (await connection.execute(text("SELECT COUNT(*) FROM usage_daily"))).scalar_one()
        reports = [*views(), *usage(shops[0]), *await paged(connection, shops[0])]
    timed = [await _timed(database, report) for report in reports]
    await database.close()
    return Filled(on, size.calls, groups, filled - begun, done - filled, timed)


async def _settle_down(database: Database) -> None:
    """What autovacuum does with any database of that size, now and not while we measure."""
    engine = database._engine.execution_options(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        if database.dialect == "postgresql":
            await connection.execute(text("VACUUM ANALYZE"))
        else:
            await connection.execute(text("ANALYZE"))


async def _timed(database: Database, report: Report) -> Timed:
    rounds = []
    for _ in range(ROUNDS):
        async with database.read() as connection:
            begun = time.perf_counter()
            await report.ask(connection)
            rounds.append((time.perf_counter() - begun) * 1000)
    slow = median(rounds) > PROMISED_MS / 2 and database.dialect == "postgresql"
    return Timed(report.name, tuple(rounds), await _plan(database, report) if slow else "")


async def _plan(database: Database, report: Report) -> str:
    """EXPLAIN of what a report asks."""
    asked: list[tuple[Any, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        asked.append((statement, given))

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    async with database.read() as connection:
        await report.ask(connection)
    event.remove(engine, "before_cursor_execute", note)
    plans = []
    async with database.read() as connection:
        for statement, given in asked:
            found = await connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, COSTS OFF) {statement}", given
            )
            plans += [row[0] for row in found]
    return "\n".join(plans)


def _print(found: list[Filled]) -> None:
    table = Table("report", *(each.engine for each in found), title="ms, median of three")
    for row in _rows(found):
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    for each in found:
        print(_size(each))
        for timed in each.timed:
            if timed.plan:
                print(f"\n{timed.report} on {each.engine}\n{timed.plan}")


def _rows(found: list[Filled]) -> list[list[str]]:
    return [
        [first.report, *(_shown(each.timed[place]) for each in found)]
        for place, first in enumerate(found[0].timed)
    ]


def _shown(timed: Timed) -> str:
    return f"{timed.ms:.1f} ({min(timed.rounds):.1f}–{max(timed.rounds):.1f})"


def _size(each: Filled) -> str:
    return (
        f"{each.engine}: {each.calls} calls, {each.groups} rows of usage_daily; filled in "
        f"{each.fill_s:.0f} s, counted for the rollup in {each.count_s:.0f} s "
        f"({each.count_s / each.calls * 1e6:.0f} µs a call)"
    )


ABOUT = """\
# How long a report takes over a million calls

Milliseconds from the question to the last row in Python, median of three rounds one after the
other, the shortest and the longest in brackets. The promise is one second for each on PostgreSQL;
SQLite is printed beside it. `usage by …` is what `GET /admin/analytics/usage` asks: its first page
and the totals of the whole range. Nothing else runs against the database, and all of it fits in
memory.
"""


def markdown(found: list[Filled], about: Sequence[str], command: str) -> str:
    """The whole of reports.md."""
    engines_of = [each.engine for each in found]
    head = ["| report | " + " | ".join(engines_of) + " |", "|---" + "|---:" * len(found) + "|"]
    rows = ["| " + " | ".join(row) + " |" for row in _rows(found)]
    late = [each.report for each in found[0].timed if each.ms > PROMISED_MS]
    said = (
        f"Above one second on PostgreSQL: {'; '.join(late)}."
        if late
        else ("Every report takes less than one second on PostgreSQL.")
    )
    date = datetime.now(UTC).date().isoformat()
    lines = [f"{date}, `{command}`.", "", *(f"- {line}" for line in (*about, *map(_size, found)))]
    return "\n".join([ABOUT, *lines, "", *head, *rows, "", said, ""])


if __name__ == "__main__":
    sys.exit(main())
