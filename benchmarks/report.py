"""The figures as a table for people, and as benchmarks/results.md."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.table import Table

from benchmarks.bench import STUB, Results
from benchmarks.workloads import STORES_BUDGET_US, STORES_GOAL_US, WORKLOADS, LowRate, Workload

COLUMNS = (
    "workload",
    "nginx",
    "pass-through",
    "gateway",
    "ratio",
    "budget (goal)",
    "Redis",
    "SQL",
    "budget (goal)",
    "calls/s",
)

ABOUT = """\
# What a call costs

CPU µs a call, user and system, of all processes of the system under test, median of the rounds;
in brackets the lowest and the highest round. *Pass-through* is the gateway's server and its way
to OpenAI with nothing between; *ratio* is the gateway over it, in the same run. The gateway has
everything on: keys, hold and settle in Redis, the outbox, the recorder in its own process,
PostgreSQL. What is done after a reply, down to the row in SQL and the look whether it is there,
counts. *Redis* and *SQL* are their CPU beside it.

The system under test has a core of its own; the load, the stub, Redis and PostgreSQL share the
other. Every reply is looked at: status 200, as many bytes as the upstream sends, a stream to its
`[DONE]`. At the end every call has one row, and the money adds up.
"""


def table(results: Results) -> Table:
    """The figures of CPU time."""
    shown = Table(title="CPU µs a call")
    for column in COLUMNS:
        shown.add_column(column, justify="left" if column == "workload" else "right")
    for row in rows(results):
        shown.add_row(*row)
    return shown


def rows(results: Results) -> list[list[str]]:
    """A row for each workload."""
    return [_row(results, workload) for workload in WORKLOADS]


def verdicts(results: Results) -> list[str]:
    """What is above the first budget; empty when nothing is."""
    above = []
    for workload in WORKLOADS:
        gateway = results.cpu_us(workload, "gateway") or 0
        if gateway > workload.budget_us:
            above.append(f"{workload.name}: {gateway:.0f} µs are above {workload.budget_us}")
        figures = results.rounds[workload.name, "gateway"]
        stores = median(figure.redis_us + figure.sql_us for figure in figures)
        if stores > STORES_BUDGET_US:
            above.append(
                f"{workload.name}: Redis and SQL use {stores:.0f} µs, above {STORES_BUDGET_US}"
            )
    p50, p99 = results.added_ms("gateway")
    rate = LowRate()
    if p50 > rate.p50_budget_ms or p99 > rate.p99_budget_ms:
        above.append(f"added latency: {p50:.2f} / {p99:.2f} ms are above the budget")
    return above


def latency(results: Results) -> list[str]:
    """What a call waits for each system at a low rate."""
    rate = LowRate()
    lines = []
    for system in results.waits_ms:
        if system != STUB:
            p50, p99 = results.added_ms(system)
            lines.append(f"{system}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    budget = f"(budget of the gateway: {rate.p50_budget_ms} / {rate.p99_budget_ms} ms)"
    return [*lines, budget]


def markdown(results: Results, *, machine: Sequence[str], command: str, date: str) -> str:
    """The whole of results.md."""
    head = [ABOUT, f"{date}, `{command}`, {results.calls} metered calls.", ""]
    about = [f"- {line}" for line in machine]
    figures = ["| " + " | ".join(COLUMNS) + " |", "|---" + "|---:" * (len(COLUMNS) - 1) + "|"]
    figures += ["| " + " | ".join(row) + " |" for row in rows(results)]
    waits = ["Latency added to one call at a time, a hundred a second at the most:", ""]
    waits += [f"- {line}" for line in latency(results)]
    above = [f"- {line}" for line in verdicts(results)] or [
        "Everything is within the first budget."
    ]
    return "\n".join([*head, *about, "", *figures, "", *waits, "", *above, ""])


def _row(results: Results, workload: Workload) -> list[str]:
    figures = results.rounds[workload.name, "gateway"]
    gateway = results.cpu_us(workload, "gateway") or 0
    passed = results.cpu_us(workload, "pass-through") or 0
    return [
        workload.name,
        _spread(results, workload, "nginx"),
        _spread(results, workload, "pass-through"),
        _spread(results, workload, "gateway"),
        f"{gateway / passed:.1f}" if passed else "–",
        f"{workload.budget_us} ({workload.goal_us})",
        f"{median(figure.redis_us for figure in figures):.0f}",
        f"{median(figure.sql_us for figure in figures):.0f}",
        f"{STORES_BUDGET_US} ({STORES_GOAL_US})",
        f"{median(figure.calls_per_s for figure in figures):.0f}",
    ]


def _spread(results: Results, workload: Workload, system: str) -> str:
    found = sorted(figure.system_us for figure in results.rounds.get((workload.name, system), []))
    if not found:
        return "–"
    spread = f" ({found[0]:.0f}–{found[-1]:.0f})" if len(found) > 1 else ""
    return f"{median(found):.0f}{spread}"
