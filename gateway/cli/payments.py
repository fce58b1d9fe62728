"""`gateway payments`: what was paid and is not credited, and what is done about it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import payment_changes, shown
from gateway.admin.forms import filled
from gateway.admin.payment_forms import Decision
from gateway.cli import output
from gateway.cli.exits import INTERRUPTED, UNAVAILABLE
from gateway.cli.options import After, AsJson, ConfigFile, DataDir, Limit
from gateway.cli.output import Column
from gateway.cli.progress import progress
from gateway.cli.records import Where, all_rows, operator, read, write
from gateway.cli.selling import settling
from gateway.payments.unsettled import unsettled as not_settled
from storage import payment_problems
from storage.payment_problems import Problem
from storage.purchases import Purchase

app = typer.Typer(no_args_is_help=True)

ProblemId = Annotated[str, typer.Argument(metavar="ID", help="The id of a payment that waits.")]
Reason = Annotated[str, typer.Option(help="Why; it stays in the books.")]

PROBLEMS = (
    Column("id", "id"),
    Column("at", "at"),
    Column("why", "why"),
    Column("reference", "reference"),
    Column("expected", "expected"),
    Column("found", "found"),
    Column("decision", "decision"),
)
UNSETTLED = (
    Column("id", "id"),
    Column("since", "since"),
    Column("kind", "kind"),
    Column("why", "why"),
    Column("reference", "reference"),
    Column("purchase", "purchase_id"),
)


@app.command("list")
def list_all(
    unsettled: Annotated[
        bool, typer.Option("--unsettled", help="All that was paid and is not credited.")
    ] = False,
    decided: Annotated[bool, typer.Option("--all", help="Those that were decided, too.")] = False,
    limit: Limit = None,
    after: After = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Payments that wait for a person, the newest first; normally none."""
    where = Where(config, data_dir)
    if unsettled:
        if decided or limit or after:
            raise typer.BadParameter("give --unsettled alone; it lists everything")
        rows = read(where, lambda connection: not_settled(connection, datetime.now(UTC)))
        output.rows(rows, UNSETTLED, as_json=as_json)
        return

    async def work(connection: AsyncConnection) -> list[shown.Shown]:
        async def page(connection: AsyncConnection, limit: int, after: str | None) -> list[Problem]:
            return await payment_problems.page(
                connection, limit=limit, after=after, decided=decided
            )

        return [shown.problem(one) for one in await all_rows(connection, page, limit, after)]

    output.rows(read(where, work), PROBLEMS, as_json=as_json, limit=limit)


@app.command()
def accept(
    problem: ProblemId,
    reason: Reason,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Take a payment as it came: the purchase is credited, or the refund is seen as made."""
    form = filled(Decision, {"reason": reason})

    async def work(connection: AsyncConnection) -> shown.Shown:
        decided, _ = await payment_changes.accept(connection, problem, form, operator())
        return shown.problem(decided)

    output.one(write(Where(config, data_dir), work), as_json=as_json)


@app.command()
def dismiss(
    problem: ProblemId,
    reason: Reason,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Credit nothing for a payment; send the money back at Paystack, if it came."""
    form = filled(Decision, {"reason": reason})

    async def work(connection: AsyncConnection) -> shown.Shown:
        return shown.problem(await payment_changes.dismiss(connection, problem, form, operator()))

    output.one(write(Where(config, data_dir), work), as_json=as_json)


@dataclass
class Told:
    """What came of asking, also when somebody did not wait for the end."""

    webhooks: int = 0
    asked: int = 0
    credited: int = 0
    already: int = 0
    problem: int = 0
    pending: int = 0
    failed: int = 0
    away: int = 0


@app.command()
def reconcile(config: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """
    Ask Paystack about every pending purchase, and credit what was paid.

    Each is done for itself, so Ctrl-C loses nothing; run it again to go on. Beside a running
    gateway it does no harm: a payment is credited once. Exits 4 when Paystack did not answer.
    """
    told = Told()
    try:
        asyncio.run(_reconcile(Where(config, data_dir), told))
    except KeyboardInterrupt:
        _summary(told, as_json=as_json, is_whole=False)
        raise typer.Exit(INTERRUPTED) from None
    _summary(told, as_json=as_json, is_whole=True)
    if told.away:
        raise typer.Exit(UNAVAILABLE)


async def _reconcile(where: Where, told: Told) -> None:
    async with settling(where) as payments:
        told.webhooks = await payments.process_waiting()
        pending: list[tuple[Purchase, int]] = []
        while page := await payments.pending(
            due_only=False, after=pending[-1][0].id if pending else ""
        ):
            pending += page
        with progress(len(pending), "purchases") as advance:
            for purchase, checks in pending:
                outcome = await payments.check(purchase, checks=checks)
                told.asked += 1
                setattr(told, outcome, getattr(told, outcome) + 1)
                advance(1)


def _summary(told: Told, *, as_json: bool, is_whole: bool) -> None:
    if as_json:
        output.document({**asdict(told), "complete": is_whole})
        return
    output.line(
        f"{told.asked:,} pending purchases: {told.credited:,} credited, {told.pending:,} not paid "
        f"yet, {told.failed:,} given up, {told.problem:,} wait for a person"
    )
    if told.away:
        output.line(f"! Paystack did not answer about {told.away:,} of them; run it again")
    if told.problem:
        output.line("! look at them: gateway payments list")
    if not is_whole:
        output.line("stopped before the end; run it again to go on")
