"""`gateway business`: who pays."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import changes, shown
from gateway.admin.changes import BusinessDefaults
from gateway.admin.forms import BusinessChange, NewBusiness, filled
from gateway.admin.refusals import check_upstream
from gateway.cli import applying, output
from gateway.cli.options import After, AsJson, BusinessId, ConfigFile, DataDir, Limit
from gateway.cli.output import Column
from gateway.cli.records import Where, all_rows, operator, read, write
from metering.switches import SWITCHES
from storage import balance_rows, businesses
from storage.businesses import Business, Status

app = typer.Typer(no_args_is_help=True)

WARNED_BELOW = "Credits below which the owner is warned."

COLUMNS = (
    Column("id", "id"),
    Column("name", "name"),
    Column("balance", "balance", is_amount=True),
    Column("expires", "expires"),
    Column("status", "status"),
)

OWN_UPSTREAM = "The section upstreams of the settings whose key of OpenAI is its own."
SWITCHED = f"One of {', '.join(SWITCHES)}; several times."
SwitchOn = Annotated[list[str] | None, typer.Option(help=SWITCHED)]
SwitchOff = Annotated[list[str] | None, typer.Option(help="The other way; several times.")]


@app.command()
def add(
    name: str,
    email: Annotated[
        str, typer.Option("--owner-email", "--email", help="The owner's address; alerts go there.")
    ],
    phone: Annotated[
        str | None, typer.Option("--owner-phone", "--phone", help="The owner's phone.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="What it pays in: GHS.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Its days: Africa/Accra.")] = None,
    low_balance: Annotated[
        str | None, typer.Option("--low-balance-threshold", "--low-balance", help=WARNED_BELOW)
    ] = None,
    expires_after: Annotated[
        int | None,
        typer.Option(
            "--expires-after-months",
            "--expires-after",
            help="From a purchase to the end of its credits.",
        ),
    ] = None,
    switch_on: SwitchOn = None,
    upstream: Annotated[str | None, typer.Option(help=OWN_UPSTREAM)] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Add a business; it begins with no credits."""
    given = {
        "name": name,
        "owner_email": email,
        "owner_phone": phone,
        "currency": currency,
        "time_zone": time_zone,
        "low_balance_threshold": low_balance,
        "expires_after_months": expires_after,
        "switches": switch_on,
        "upstream": upstream,
    }
    form = filled(NewBusiness, {key: value for key, value in given.items() if value is not None})
    where = Where(config, data_dir)
    settings = where.settings().credits
    check_upstream(upstream, where.settings().upstreams)
    defaults = BusinessDefaults(settings.low_balance_threshold, settings.expires_after_months)

    async def work(connection: AsyncConnection) -> shown.Shown:
        business = await changes.add_business(connection, form, operator(), defaults)
        return await _with_balance(connection, business)

    output.one(write(where, work), as_json=as_json)


@app.command("list")
def list_all(
    limit: Limit = None,
    after: After = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Every business with its balance as recorded, its expiry, and its status."""

    async def work(connection: AsyncConnection) -> list[shown.Shown]:
        found = await all_rows(connection, _page, limit, after)
        return [await _with_balance(connection, business) for business in found]

    found = read(Where(config, data_dir), work)
    if not as_json:
        found = [{**one, "expires": _expiry(one["expires_at"])} for one in found]
    output.rows(found, COLUMNS, as_json=as_json, limit=limit)


@app.command()
def show(
    business: BusinessId,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """One business, with its balance as recorded and what it owes."""

    async def work(connection: AsyncConnection) -> shown.Shown:
        return await _with_balance(connection, await businesses.get(connection, business))

    output.one(read(Where(config, data_dir), work), as_json=as_json)


@app.command("set")
def change(
    business: BusinessId,
    name: Annotated[str | None, typer.Option(help="What it is called.")] = None,
    email: Annotated[
        str | None, typer.Option("--owner-email", "--email", help="The owner's address.")
    ] = None,
    phone: Annotated[
        str | None,
        typer.Option("--owner-phone", "--phone", help="The owner's phone; '' forgets it."),
    ] = None,
    time_zone: Annotated[str | None, typer.Option(help="Its days: Africa/Accra.")] = None,
    low_balance: Annotated[
        str | None, typer.Option("--low-balance-threshold", "--low-balance", help=WARNED_BELOW)
    ] = None,
    expires_after: Annotated[
        int | None,
        typer.Option(
            "--expires-after-months",
            "--expires-after",
            help="From a purchase to the end of its credits; of later purchases.",
        ),
    ] = None,
    switch_on: SwitchOn = None,
    switch_off: SwitchOff = None,
    upstream: Annotated[str | None, typer.Option(help=OWN_UPSTREAM)] = None,
    no_upstream: Annotated[
        bool, typer.Option("--no-upstream", help="The shared key of OpenAI again.")
    ] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change what is kept of a business; a running gateway hears of it in about a second."""
    given = {
        "name": name,
        "owner_email": email,
        "owner_phone": phone,
        "time_zone": time_zone,
        "low_balance_threshold": low_balance,
        "expires_after_months": expires_after,
    }
    fields: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if phone == "":
        fields["owner_phone"] = None
    if upstream is not None or no_upstream:
        fields["upstream"] = None if no_upstream else upstream
    switched = (_known(switch_on), _known(switch_off))
    where = Where(config, data_dir)
    if upstream is not None and not no_upstream:
        check_upstream(upstream, where.settings().upstreams)

    async def work(connection: AsyncConnection) -> shown.Shown:
        if any(switched):
            await balance_rows.lock_one(connection, business)
            before = (await businesses.get(connection, business)).switches
            fields["switches"] = sorted((before | switched[0]) - switched[1])
        form = filled(BusinessChange, fields)
        after = await changes.change_business(connection, business, form, operator())
        applied = await applying.applied(connection, after.id)
        return {**await _with_balance(connection, after), **applied}

    output.one(write(where, work), as_json=as_json)


@app.command()
def suspend(
    business: BusinessId,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Refuse every new call of a business; a running gateway hears of it in about a second."""
    _set_status(business, "suspended", Where(config, data_dir), as_json=as_json)


@app.command()
def resume(
    business: BusinessId,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Let a suspended business go on."""
    _set_status(business, "active", Where(config, data_dir), as_json=as_json)


def _set_status(business: str, status: Status, where: Where, *, as_json: bool) -> None:
    async def work(connection: AsyncConnection) -> shown.Shown:
        after = await changes.set_status(connection, business, status, operator())
        applied = await applying.applied(connection, after.id)
        return {**await _with_balance(connection, after), **applied}

    after = write(where, work)
    if as_json:
        output.document(after)
    else:
        output.line(f"{after['name']} is {after['status']}")


def _known(names: list[str] | None) -> frozenset[str]:
    """Names of switches, checked before anything is asked for."""
    return filled(BusinessChange, {"switches": names or []}).fields["switches"]  # type: ignore[no-any-return]


async def _page(connection: AsyncConnection, limit: int, after: str | None) -> list[Business]:
    return await businesses.page(connection, limit=limit, after=after)


async def _with_balance(connection: AsyncConnection, business: Business) -> shown.Shown:
    return shown.business(business, await businesses.ledger_row(connection, business.id))


def _expiry(expires_at: Any) -> str:
    if expires_at is None:
        return "–"
    has_expired = datetime.fromisoformat(expires_at) <= datetime.now(UTC)
    return f"{expires_at[:10]}{' expired' if has_expired else ''}"
