"""The figures as a table for people, and as benchmarks/results.md."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.table import Table

from benchmarks import beside_report
from benchmarks.bench import REDIS, STUB, Results
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


# The same nginx, alone on a core of that machine: the first workload.
NGINX_OF_THE_BUDGET_US = 20


def verdicts(results: Results) -> list[str]:
    """
    What is above the first budget, a line each; empty when nothing is.

    CPU is compared at the speed of the machine that the budget was made on.
    """
    slower = slowdown(results)
    above = []
    for workload in WORKLOADS:
        gateway = (results.cpu_us(workload, "gateway") or 0) / slower
        if gateway > workload.budget_us:
            above.append(f"{workload.name}: {gateway:.0f} µs are above {workload.budget_us}")
        figures = results.rounds[workload.name, "gateway"]
        stores = median(figure.redis_us + figure.sql_us for figure in figures) / slower
        if stores > STORES_BUDGET_US:
            above.append(
                f"{workload.name}: Redis and SQL use {stores:.0f} µs, above {STORES_BUDGET_US}"
            )
    p50, p99 = results.added_ms("gateway")
    rate = LowRate()
    if p50 > rate.p50_budget_ms or p99 > rate.p99_budget_ms:
        above.append(f"added latency: {p50:.2f} / {p99:.2f} ms are above the budget")
    return above


def slowdown(results: Results) -> float:
    """How many times slower this machine was than the budget's, by nginx; 1 without nginx."""
    here = results.cpu_us(WORKLOADS[0], "nginx")
    return here / NGINX_OF_THE_BUDGET_US if here else 1.0


def speed(results: Results) -> list[str]:
    """The figures that the budget is compared with, at the speed of its machine."""
    slower = slowdown(results)
    if slower == 1.0:
        return []
    compared = []
    for workload in WORKLOADS:
        gateway = (results.cpu_us(workload, "gateway") or 0) / slower
        figures = results.rounds[workload.name, "gateway"]
        stores = median(figure.redis_us + figure.sql_us for figure in figures) / slower
        compared.append(
            f"{workload.name}: {gateway:.0f} µs (≤ {workload.budget_us}), Redis and SQL "
            f"{stores:.0f} (≤ {STORES_BUDGET_US})"
        )
    return [
        f"nginx costs {slower * NGINX_OF_THE_BUDGET_US:.0f} µs here and {NGINX_OF_THE_BUDGET_US} "
        f"on the machine that the budget was made on: this one was {slower:.1f} times slower. "
        "At the speed of that one:",
        *compared,
    ]


def latency(results: Results) -> list[str]:
    """What a call waits for each system when it is alone."""
    rate = LowRate()
    lines = []
    for system in results.waits_ms:
        if system in (STUB, REDIS):
            p50, p99 = results.waited_ms(system)
            lines.append(f"{system} takes p50 {p50:.2f} ms, p99 {p99:.2f} ms")
        else:
            p50, p99 = results.added_ms(system)
            lines.append(f"{system} adds p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    budget = f"{rate.p50_budget_ms} / {rate.p99_budget_ms} ms"
    return [*lines, f"budget of the gateway: {budget}; it waits for one such write"]


def markdown(results: Results, *, machine: Sequence[str], command: str, date: str) -> str:
    """The whole of results.md."""
    head = [ABOUT, f"{date}, `{command}`, {results.calls} metered calls.", ""]
    about = [f"- {line}" for line in machine]
    figures = ["| " + " | ".join(COLUMNS) + " |", "|---" + "|---:" * (len(COLUMNS) - 1) + "|"]
    figures += ["| " + " | ".join(row) + " |" for row in rows(results)]
    waits = ["Latency of one call at a time:", ""]
    waits += [f"- {line}" for line in latency(results)]
    above = [f"- {line}" for line in verdicts(results)] or [
        "Everything is within the first budget."
    ]
    compared = [f"- {line}" for line in speed(results)]
    beside = beside_report.markdown(results) if results.beside else []
    return "\n".join([*head, *about, *compared, "", *figures, "", *beside, *waits, "", *above, ""])


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
