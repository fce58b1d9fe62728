"""The peers beside ours: CPU for one call, and how many times ours that is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from benchmarks.bench import Results
from benchmarks.beside import Beside
from benchmarks.workloads import WORKLOADS, Workload

ABOUT = """\
Beside other gateways, in the same run: CPU µs for one call that was answered as it should be,
and in brackets how many times ours. Each peer ran alone on the core that ours had, in front of
the same stub, in one process as it is installed; the slow ones made fewer calls. Their Redis or
SQL, where they can have one, is not there; ours has both, and their CPU is in the table above.
"""

MOSTLY = 0.5
"""Above this share of failed calls, what the others cost says nothing."""


def table(results: Results) -> Table:
    """The figures of the peers."""
    shown = Table(title="Beside other gateways, CPU µs a call (times ours)")
    for column in columns():
        shown.add_column(column, justify="left" if column in columns()[:2] else "right")
    for row in rows(results):
        shown.add_row(*row)
    return shown


def columns() -> list[str]:
    return ["system", "what it does", *(workload.name for workload in WORKLOADS)]


def rows(results: Results) -> list[list[str]]:
    """Ours, nginx, and a row for each peer."""
    ours = [_known(results.cpu_us(workload, "gateway"), None) for workload in WORKLOADS]
    nginx = [
        _known(results.cpu_us(workload, "nginx"), results.cpu_us(workload, "gateway"))
        for workload in WORKLOADS
    ]
    return [
        ["gateway", "everything: keys, hold, settle, a row in SQL", *ours],
        ["nginx", "plain proxy", *nginx],
        *(_row(results, beside) for beside in results.beside),
    ]


def notes(results: Results) -> list[str]:
    """What failed, and what could not be had; a line each."""
    lines = [f"{beside.peer.title} {beside.missing}" for beside in results.beside if beside.missing]
    for beside in results.beside:
        for workload in WORKLOADS:
            share, why = beside.failed(workload)
            if share:
                lines.append(
                    f"{beside.peer.title}, {workload.name}: {_percent(share)} of the calls failed"
                    f"{f', such as: {why}' if why else ''}"
                )
    return lines


def markdown(results: Results) -> list[str]:
    """The part of results.md."""
    head: Sequence[str] = columns()
    return [
        ABOUT,
        "| " + " | ".join(head) + " |",
        "|---|---" + "|---:" * len(WORKLOADS) + "|",
        *("| " + " | ".join(row) + " |" for row in rows(results)),
        "",
        *(f"- {note}" for note in notes(results)),
        *([""] if notes(results) else []),
    ]


def _row(results: Results, beside: Beside) -> list[str]:
    cells = [_cell(results, beside, workload) for workload in WORKLOADS]
    return [beside.peer.title, beside.peer.does, *cells]


def _cell(results: Results, beside: Beside, workload: Workload) -> str:
    if workload.name not in beside.rounds:
        return "–"
    share, _ = beside.failed(workload)
    if share > MOSTLY:
        return f"{_percent(share)} failed"
    cell = _known(beside.cpu_us(workload), results.cpu_us(workload, "gateway"))
    return f"{cell}, {_percent(share)} failed" if share else cell


def _known(cpu_us: float | None, ours_us: float | None) -> str:
    if cpu_us is None:
        return "–"
    shown = f"{cpu_us:,.0f}"
    if not ours_us:
        return shown
    times = cpu_us / ours_us
    digits = 2 if times < 1 else 1 if times < 10 else 0
    return f"{shown} ({times:.{digits}f}×)"


def _percent(share: float) -> str:
    """Never 0 % for what has failed, nor 100 % for what has not."""
    percent = min(max(share * 100, 0.1), 100.0)
    shown = f"{percent:.1f}" if percent < 10 else f"{percent:.0f}"
    return "99.9 %" if shown == "100" and share < 1 else f"{shown} %"
