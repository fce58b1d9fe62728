"""`gateway ledger`: proving that every micro-credit can be explained."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.exits import INTERRUPTED, WRONG
from gateway.cli.options import AsJson, ConfigFile, DataDir
from gateway.cli.progress import progress
from gateway.cli.records import Where
from gateway.cli.stores import stores
from gateway.plural import counted
from gateway.settings import Settings
from metering.money import Credits
from storage import businesses, partition_rows
from storage.proof import Violation
from storage.proving import Prover

app = typer.Typer(no_args_is_help=True)

LAWS = {"L1": "shape", "L2": "conservation", "L3": "no gaps", "L6": "money in"}


@app.callback()
def _noun() -> None:
    """A noun with one verb stays a noun."""


@dataclass
class Told:
    """What is printed at the end, also when somebody did not wait for it."""

    businesses: int = 0
    violations: int = 0
    wrong: set[str] = field(default_factory=set)
    dead_letters: int = 0
    frozen_partitions: list[int] = field(default_factory=list)
    last: str | None = None
    began: float = field(default_factory=monotonic)


@app.command()
def verify(
    business: Annotated[
        str | None, typer.Option(metavar="ID", help="One business; all of them if not given.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on after this business, as a run said.")
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """
    Prove the laws L1, L2, L3 and L6 of Redis, SQL and the outbox, beside a running gateway.

    Exits 6 when a law is broken, and names the business, the law, the figures and the rows.
    It changes nothing.
    """
    if business is not None and after is not None:
        raise typer.BadParameter("give --business or --after, not both")
    told = Told()
    settings = Where(config, data_dir).settings()
    try:
        asyncio.run(_prove(settings, business, after, told, as_json=as_json))
    except KeyboardInterrupt:
        _summary(told, as_json=as_json, is_whole=False)
        raise typer.Exit(INTERRUPTED) from None
    _summary(told, as_json=as_json, is_whole=True)
    if told.violations:
        raise typer.Exit(WRONG)


async def _prove(
    settings: Settings, business: str | None, after: str | None, told: Told, *, as_json: bool
) -> None:
    async with stores(settings) as (database, redis):
        prover = Prover(database, redis)
        async with database.read() as connection:
            if business is not None:
                business = (await businesses.get(connection, business)).id
            if after is not None:
                after = (await businesses.get(connection, after)).id
            partitions = await partition_rows.read(connection)
        # Also where there is no business yet: nothing is proved of a Redis that is away.
        await prover.reach()
        told.frozen_partitions = [each.partition for each in partitions if each.frozen_reason]
        told.dead_letters = await prover.buried()
        if business is not None:
            _tell(told, await prover.some([business]), as_json=as_json)
            told.businesses = 1
            return
        with progress(await prover.count(after=after), "businesses") as advance:
            async for page in prover.all(after=after):
                _tell(told, page.violations, as_json=as_json)
                told.businesses += page.businesses
                told.last = page.last
                advance(page.businesses)


def _tell(told: Told, violations: list[Violation], *, as_json: bool) -> None:
    told.violations += len(violations)
    told.wrong |= {each.business for each in violations}
    for each in violations:
        if as_json:
            output.document({**asdict(each), "difference": _difference(each)})
            continue
        output.line(f"✗ business {each.business} · {each.law} {LAWS[each.law]}: {each.said}")
        if each.difference:
            output.line(f"    difference: {_difference(each)}")
        for row in each.rows:
            output.line(f"    {row}")


def _difference(violation: Violation) -> str:
    """Credits for amounts; a number of changes, events or receipts for the rest."""
    if violation.what in ("gap", "behind", "events", "applied"):
        return f"{violation.difference:+d}"
    return str(Credits(violation.difference))


def _summary(told: Told, *, as_json: bool, is_whole: bool) -> None:
    seconds = round(monotonic() - told.began, 1)
    if as_json:
        output.document(
            {
                "businesses": told.businesses,
                "wrong": len(told.wrong),
                "violations": told.violations,
                "dead_letters": told.dead_letters,
                "frozen_partitions": told.frozen_partitions,
                "complete": is_whole,
                "last": told.last,
                "seconds": seconds,
            }
        )
        return
    verdict = (
        f"{counted(told.violations, 'violation', 'violations')} of the laws by {len(told.wrong)} "
        "of them"
        if told.violations
        else "0 differences"
    )
    output.line(f"{counted(told.businesses, 'business', 'businesses')} in {seconds} s: {verdict}")
    if told.dead_letters:
        output.line(
            "! in the proof, and not recorded: "
            + counted(told.dead_letters, "dead letter", "dead letters")
        )
    if told.frozen_partitions:
        output.line(f"! partitions {told.frozen_partitions} are frozen; docs/operating.md says why")
    if not is_whole:
        more = f"; go on with --after {told.last}" if told.last else ""
        output.line(f"stopped before the end{more}")
