"""`gateway import`: businesses and balances of another prepaid system."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.admin import imported
from gateway.admin.changes import BusinessDefaults
from gateway.admin.imported import Imported, Line
from gateway.cli import output
from gateway.cli.exits import INTERRUPTED, CommandRefused
from gateway.cli.import_file import KeysFile, keys_file, lines_of
from gateway.cli.options import AsJson, ConfigFile, DataDir
from gateway.cli.progress import progress
from gateway.cli.records import Where, database_of, operator
from gateway.plural import counted
from gateway.settings import Settings
from metering.money import Credits
from storage import schema
from storage.database import Database

BATCH = 100  # Lines in one transaction: a gateway that runs waits for it no longer than that.


@dataclass
class Told:
    """What is printed at the end, also when somebody did not wait for it."""

    lines: int
    before: int = 0
    added: int = 0
    credits: Credits = Credits(0)


def app(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="See docs/commands.md.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and write nothing.")
    ] = False,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="OUT.csv", help="Issue a key for each, and write them here."),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """
    Bring businesses and their balances over from another prepaid system.

    All of the file is checked before anything is written. Each line has a reference and is
    imported once: run it again after Ctrl-C, or after lines were added. The gateway may run or
    not.
    """
    settings = Where(config, data_dir).settings()
    lines, problems = lines_of(file, datetime.now(UTC))
    told = Told(len(lines))
    try:
        asyncio.run(_import(settings, lines, problems, keys, told, dry_run=dry_run))
    except KeyboardInterrupt:
        left = told.lines - told.before - told.added
        typer.echo(f"stopped: {told.added:,} imported and {left:,} left; "
                   "run the same command to go on", err=True)  # fmt: skip
        raise typer.Exit(INTERRUPTED) from None
    _summary(told, dry_run=dry_run, as_json=as_json)


async def _import(
    settings: Settings,
    lines: Sequence[Line],
    problems: Sequence[str],
    keys: Path | None,
    told: Told,
    *,
    dry_run: bool,
) -> None:
    database = database_of(settings)
    try:
        await schema.check(database)
        new = await _new(database, lines, problems)
        told.before = len(lines) - len(new)
        if dry_run:
            told.added = len(new)
            told.credits = _sum(new)
            return
        with keys_file(keys) as out, progress(len(new), "businesses") as advance:
            for start in range(0, len(new), BATCH):
                some = new[start : start + BATCH]
                added = await _batch(database, settings, some, out)
                told.added += len(added)
                told.before += len(some) - len(added)
                references = {each.reference for each in added}
                told.credits += _sum([x for x in some if x.balance.reference in references])
                advance(len(some))
    finally:
        await database.close()


async def _new(database: Database, lines: Sequence[Line], problems: Sequence[str]) -> list[Line]:
    """
    Those that were not imported before.

    Raises:
        CommandRefused: Something is wrong with a line; all of them are named.
    """
    async with database.read() as connection:
        known = await imported.known(connection, lines)
    changed = [
        f"line {line.number}: reference: {line.balance.reference!r} was imported before, with "
        "other figures; correct it by top-up or adjust, or give the line a reference of its own"
        for line in lines
        if known.get(line.balance.reference, line.digest) != line.digest
    ]
    found = [*problems, *changed]
    if found:
        raise CommandRefused(
            "\n".join([*sorted(found, key=_number), "nothing was imported; correct these lines"])
        )
    return [line for line in lines if line.balance.reference not in known]


def _number(problem: str) -> int:
    return int(problem.split(":")[0].removeprefix("line "))


async def _batch(
    database: Database, settings: Settings, lines: Sequence[Line], out: KeysFile | None
) -> list[Imported]:
    credits = settings.credits
    defaults = BusinessDefaults(credits.low_balance_threshold, credits.expires_after_months)
    admin = operator()
    async with database.write() as connection:
        found = [
            await imported.bring_over(connection, line, admin, defaults, with_key=out is not None)
            for line in lines
        ]
        added = [each for each in found if each is not None]
        if out is not None:
            # Before the commit: a key that nobody has is worse than one that opens nothing.
            out.write(added)
    return added


def _sum(lines: Sequence[Line]) -> Credits:
    return sum((line.balance.credits for line in lines), Credits(0))


def _summary(told: Told, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        output.document(
            {
                "dry_run": dry_run,
                "lines": told.lines,
                "imported": 0 if dry_run else told.added,
                "to_import": told.added if dry_run else 0,
                "before": told.before,
                "credits": str(told.credits),
            }
        )
        return
    verb = "would import" if dry_run else "imported"
    output.line(
        f"{verb} {counted(told.added, 'business', 'businesses')} with {told.credits} credits; "
        f"{told.before:,} {'was' if told.before == 1 else 'were'} imported before"
    )
