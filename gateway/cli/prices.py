"""
`gateway prices`: show the rate card, and bring it up to date.

Exit codes of `update`: 0 the card is up to date or was written; 1 a list or the card cannot
be read; 10 the lists disagree and a person must decide; 11 with `--check`, the card would
change.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from gateway.price_card_file import write_card
from gateway.price_sources import (
    GenaiPrices,
    LiteLLMFile,
    SourceUnreadable,
    installed_litellm_file,
)
from gateway.prices_update import (
    Disagreement,
    NotEnoughKnown,
    Outcome,
    new_model,
    update,
)
from metering.errors import MeteringError
from metering.families import TOOL_UNITS
from metering.rates import SHIPPED_CARD, ModelRow, RateCard
from metering.tokens import encoding_for
from metering.usage import Unit

# Beyond the codes that every command shares (exits.py).
CANNOT_READ, MUST_DECIDE, WOULD_CHANGE = 1, 10, 11

app = typer.Typer(help="The rate card: what models cost.", no_args_is_help=True)


@app.command()
def show(
    model: Annotated[str | None, typer.Argument(help="One model, with all its tiers.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    card: Annotated[Path, typer.Option(help="The rate card.")] = SHIPPED_CARD,
) -> None:
    """Print the rate card, in USD per million of each unit."""
    try:
        read = RateCard.load(card)
        rows = read.rows_of(model) if model else tuple(read.models.values())
    except MeteringError as error:
        _stop(str(error), CANNOT_READ)
    if as_json:
        typer.echo(json.dumps([_as_json(row) for row in rows], indent=2))
        return
    Console().print(*(_tiers_tables(rows) if model else _models_tables(rows)), sep="\n")


@app.command("update")
def update_card(
    litellm: Annotated[
        Path | None,
        typer.Option(help="A second list in LiteLLM's format; by default an installed LiteLLM's."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; say what would.")] = False,
    add: Annotated[list[str] | None, typer.Option(help="Take this model in.")] = None,
    valid_from: Annotated[
        str | None, typer.Option(help="The day new prices begin (UTC); today by default.")
    ] = None,
    card: Annotated[Path, typer.Option(help="The rate card to write.")] = SHIPPED_CARD,
) -> None:
    """Compare the card with genai-prices and a second list; write it where they agree."""
    now = datetime.now(UTC)
    try:
        day = date.fromisoformat(valid_from) if valid_from else now.date()
        lists = (GenaiPrices(now), LiteLLMFile(litellm or _installed()))
        outcome = _update(card, lists, add or [], day)
    except (SourceUnreadable, NotEnoughKnown, ValueError, OSError) as error:
        _stop(str(error), CANNOT_READ)
    for change in outcome.changes:
        typer.echo(change)
    if outcome.disagreements:
        Console().print(_disagreements_table(outcome.disagreements, lists))
        _stop(
            "the lists disagree; put the right price into the newest row of the model and say "
            "why under [model.row.decided], then run this again. Nothing was written.",
            MUST_DECIDE,
        )
    if not outcome.changes:
        typer.echo("the rate card is up to date")
    elif check:
        raise typer.Exit(WOULD_CHANGE)
    else:
        write_card(card, outcome.card)
        RateCard.load(card)
        typer.echo(f"wrote {card}")


def _installed() -> Path:
    path = installed_litellm_file()
    if path is None:
        raise SourceUnreadable(
            "there is no second list: give --litellm FILE (model_prices_and_context_window.json)"
        )
    return path


def _update(
    path: Path, lists: tuple[GenaiPrices, LiteLLMFile], add: list[str], day: date
) -> Outcome:
    card: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    listed = {model["id"] for model in card["model"]}
    names = [*listed, *(name for name in add if name not in listed)]
    quotes = {name: (lists[0].quote(name), lists[1].quote(name)) for name in names}
    for name in names[len(listed) :]:
        card["model"].append(new_model(name, encoding_for(name), *quotes[name]))
    return update(card, quotes, valid_from=day)


def _as_json(row: ModelRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "aliases": list(row.aliases),
        "serves": sorted(row.serves),
        "encoding": row.encoding,
        "context_window": row.context_window,
        "max_input": row.max_input,
        "max_output": row.max_output,
        "valid_from": row.valid_from.isoformat(),
        "version": row.version,
        "source": row.source,
        "tiers": _usd(row.tiers),
        "long_prompt": {"over": row.long_over, "tiers": _usd(row.long_tiers)}
        if row.long_tiers
        else None,
        "decided": dict(row.decided),
        "note": row.note,
    }


def _usd(tiers: Any) -> dict[str, dict[str, str]]:
    return {
        tier: {unit.value: _million(price) for unit, price in prices.items()}
        for tier, prices in tiers.items()
    }


def _million(picodollars: int) -> str:
    """USD per million units."""
    whole, part = divmod(picodollars, 10**6)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".")


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, title=title)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _priced(rows: Iterable[ModelRow]) -> list[Unit]:
    """The units that any of these rows has a price for."""
    return [unit for unit in Unit if any(unit in row.tiers["default"] for row in rows)]


def _words(unit: Unit) -> str:
    """A unit as the head of a narrow column."""
    return unit.value.replace("_", "\n")


def _models_tables(rows: tuple[ModelRow, ...]) -> Iterator[Table]:
    """A table of the default tier for each group of models that bill the same units."""
    groups: dict[tuple[Unit, ...], list[ModelRow]] = {}
    for row in rows:
        units = tuple(unit for unit in _priced([row]) if unit not in TOOL_UNITS)
        groups.setdefault(units, []).append(row)
    for units, group in groups.items():
        table = _table("model", "serves", *map(_words, units), "valid from")
        for row in group:
            prices = _usd(row.tiers)["default"]
            shown = (prices[unit] for unit in units)
            day = row.valid_from.date().isoformat()
            table.add_row(row.id, "\n".join(sorted(row.serves)), *shown, day)
        yield table


def _tiers_tables(rows: tuple[ModelRow, ...]) -> Iterator[Table]:
    """A table of units and tiers for each row of a model, short prompts and long."""
    for row in rows:
        for prompt, tiers in (("", row.tiers), (f", above {row.long_over:,}", row.long_tiers)):
            if not tiers:
                continue
            title = f"{row.id} from {row.valid_from.date().isoformat()}{prompt}"
            table = _table("unit", *tiers, title=title)
            shown = _usd(tiers)
            for unit in _priced([row]):
                table.add_row(unit.value, *(prices.get(unit, "") for prices in shown.values()))
            yield table


def _disagreements_table(
    found: list[Disagreement], lists: tuple[GenaiPrices, LiteLLMFile]
) -> Table:
    table = _table("model", "price", lists[0].name, lists[1].name, "ours")
    for each in found:
        prices = (each.first, each.second, each.ours)
        shown = ("" if price is None else f"{price.normalize():f}" for price in prices)
        table.add_row(each.model, each.key, *shown)
    return table


def _stop(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)
