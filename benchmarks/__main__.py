"""
`./run bench`: what a call costs, beside a bare pass-through on the same machine and run.

    ./run bench [--rounds N] [--quick] [--write] [--peers [NAME …]]
    ./run bench --reports [--calls N] [--businesses N] [--write]

`--peers` installs other gateways from PyPI and npm into `.bench/` and measures them after
ours: all of them, or those that are named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks import beside_report, machine, report, reports
from benchmarks.bench import Bench
from benchmarks.beside import asked_for
from benchmarks.books import BooksWrong
from benchmarks.callers import CallFailed
from benchmarks.peers import ferro, litellm, portkey
from benchmarks.processes import NotStarted
from tests.engine import EngineMissing

RESULTS = Path(__file__).parent / "results.md"
PEERS = (ferro.PEER, portkey.PEER, litellm.PEER)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 when a call failed, a row is missing or money does not add up."""
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__.split("\n")[1])
    parser.add_argument("--rounds", type=int, default=3, help="figures are their medians (3)")
    parser.add_argument("--quick", action="store_true", help="a quarter of the calls")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results.md")
    parser.add_argument(
        "--peers",
        nargs="*",
        metavar="NAME",
        choices=[peer.name for peer in PEERS],
        help=f"other gateways too: {', '.join(peer.name for peer in PEERS)} (all)",
    )
    parser.add_argument("--reports", action="store_true", help="reports over a million calls")
    given = sys.argv[1:] if arguments is None else list(arguments)
    if "--reports" in given:
        return reports.main([each for each in given if each != "--reports"])
    options = parser.parse_args(given)
    console = Console(stderr=True)
    machine_lines = machine.described()
    bench = Bench(
        rounds=options.rounds,
        quick=options.quick,
        say=console.print,
        peers=asked_for(options.peers, PEERS),
    )
    try:
        results = uvloop.run(bench.run())
    except (CallFailed, BooksWrong, NotStarted, EngineMissing, TimeoutError) as error:
        console.print(f"[red]no figures[/red]: {error or type(error).__name__}")
        return 1
    out = Console(width=None if sys.stdout.isatty() else 160)
    out.print(report.table(results))
    if results.beside:
        out.print(beside_report.table(results), *beside_report.notes(results), sep="\n")
    out.print(*report.speed(results), sep="\n")
    out.print("One call at a time:", *report.latency(results), sep="\n  ")
    out.print(*(report.verdicts(results) or ["Everything is within the first budget."]), sep="\n")
    if options.write:
        command = " ".join(["./run bench", *given])
        date = datetime.now(UTC).date().isoformat()
        RESULTS.write_text(
            report.markdown(results, machine=machine_lines, command=command, date=date)
        )
        out.print(f"written to {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
