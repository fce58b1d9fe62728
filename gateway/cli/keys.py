"""`gateway key`: what apps call with."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import changes, shown
from gateway.admin.forms import NewKey, filled
from gateway.cli import output
from gateway.cli.options import AsJson, BusinessId, ConfigFile, DataDir
from gateway.cli.output import Column
from gateway.cli.records import Where, operator, read, write
from storage import businesses, keys

app = typer.Typer(no_args_is_help=True)

COLUMNS = (
    Column("id", "id"),
    Column("name", "name"),
    Column("key", "shown"),
    Column("last used", "last_used_at"),
    Column("expires", "expires_at"),
    Column("revoked", "revoked_at"),
)

Many = Annotated[list[str] | None, typer.Option(help="May be given several times; all if not.")]


@app.command()
def issue(
    business: BusinessId,
    name: Annotated[str, typer.Option(help="What it is for: till, website.")],
    endpoint: Many = None,
    model: Many = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(help="A feature with a fixed price that it may use; several times."),
    ] = None,
    default_feature: Annotated[
        str | None, typer.Option(help="The feature of calls that name none.")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option(help="Its last moment: 2027-01-31T12:00:00Z.")
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Issue a key. It is printed once; only its digest is kept."""
    given = {
        "name": name,
        "scopes": {"endpoints": endpoint or [], "models": model or [], "features": feature or []},
        "default_feature": default_feature,
        "expires_at": expires_at,
    }
    form = filled(NewKey, {key: value for key, value in given.items() if value is not None})

    async def work(connection: AsyncConnection) -> shown.Shown:
        key, secret = await changes.issue_key(connection, business, form, operator())
        return {**shown.key(key), "key": secret}

    issued = write(Where(config, data_dir), work)
    if as_json:
        output.document(issued)
        return
    output.line(issued["key"])
    typer.echo(f"Keep it now, nobody can show it again. Its id is {issued['id']}.", err=True)


@app.command("list")
def list_all(
    business: BusinessId,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """The keys of a business, revoked ones included."""

    async def work(connection: AsyncConnection) -> list[shown.Shown]:
        owner = await businesses.get(connection, business)
        return [shown.key(key) for key in await keys.of_business(connection, owner.id)]

    output.rows(read(Where(config, data_dir), work), COLUMNS, as_json=as_json)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The id of a key, as listed.")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """End a key; a running gateway refuses it within five seconds."""

    async def work(connection: AsyncConnection) -> shown.Shown:
        return shown.key(await changes.revoke_key(connection, key, operator()))

    revoked = write(Where(config, data_dir), work)
    if as_json:
        output.document(revoked)
    else:
        output.line(f"{revoked['shown']} ({revoked['name']}) is revoked")
