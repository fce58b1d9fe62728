"""`gateway key`: what apps call with."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import key_changes, shown
from gateway.admin.forms import KeyChange, NewKey, filled
from gateway.cli import output
from gateway.cli.options import After, AsJson, BusinessId, ConfigFile, DataDir, Limit
from gateway.cli.output import Column
from gateway.cli.records import Where, all_rows, operator, read, write
from storage import businesses, keys, spending
from storage.keys import ApiKey

app = typer.Typer(no_args_is_help=True)

COLUMNS = (
    Column("id", "id"),
    Column("name", "name"),
    Column("key", "shown"),
    Column("requests/min", "requests_per_minute", is_amount=True),
    Column("tokens/min", "tokens_per_minute", is_amount=True),
    Column("at a time", "concurrent", is_amount=True),
    Column("spent", "spent", is_amount=True),
    Column("of cap", "credit_cap", is_amount=True),
    Column("last used", "last_used_at"),
    Column("expires", "expires_at"),
    Column("revoked", "revoked_at"),
)

OWN_LIMIT = "Without it as the section limits of the settings says."
NO_LIMIT = "'' for what the section limits of the settings says."
OtherLimit = Annotated[str | None, typer.Option(metavar="INTEGER", help=NO_LIMIT)]
KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The id of a key, as listed.")]
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
    credit_cap: Annotated[
        str | None, typer.Option(help="Credits; the most it may ever spend: 25.00.")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(help=OWN_LIMIT)] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help=OWN_LIMIT)] = None,
    concurrent: Annotated[int | None, typer.Option(help=f"Calls at a time. {OWN_LIMIT}")] = None,
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
        "credit_cap": credit_cap,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "concurrent": concurrent,
        "expires_at": expires_at,
    }
    form = filled(NewKey, {key: value for key, value in given.items() if value is not None})

    async def work(connection: AsyncConnection) -> shown.Shown:
        key, secret = await key_changes.issue_key(connection, business, form, operator())
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
    limit: Limit = None,
    after: After = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """
    The keys of a business, revoked ones included, with their limits.

    A limit that is not there is as the section limits of the settings says. What was spent is
    shown of keys with a cap, as far as it is recorded.
    """

    async def work(connection: AsyncConnection) -> list[shown.Shown]:
        owner = await businesses.get(connection, business)

        async def page(connection: AsyncConnection, limit: int, after: str | None) -> list[ApiKey]:
            return await keys.page(connection, owner.id, limit=limit, after=after)

        found = await all_rows(connection, page, limit, after)
        spent = await spending.spent_of(connection, owner.id, keys.capped(found))
        return [shown.listed_key(one, spent) for one in found]

    output.rows(read(Where(config, data_dir), work), COLUMNS, as_json=as_json, limit=limit)


@app.command("set")
def change(
    key: KeyId,
    requests_per_minute: OtherLimit = None,
    tokens_per_minute: OtherLimit = None,
    concurrent: Annotated[
        str | None, typer.Option(metavar="INTEGER", help=f"Calls at a time. {NO_LIMIT}")
    ] = None,
    credit_cap: Annotated[
        str | None,
        typer.Option(help="Credits; the most it may ever spend, from its first day. '' for none."),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change the limits of a key; a running gateway goes by them within five seconds."""
    numbers = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "concurrent": concurrent,
    }
    given = {name: _number(text) for name, text in numbers.items() if text is not None}
    if credit_cap is not None:
        given["credit_cap"] = credit_cap or None
    form = filled(KeyChange, given)

    async def work(connection: AsyncConnection) -> shown.Shown:
        return shown.key(await key_changes.change_key(connection, key, form, operator()))

    output.one(write(Where(config, data_dir), work), as_json=as_json)


def _number(text: str) -> int | str | None:
    """A whole number, None for none of it, or the text that is neither, for the form to refuse."""
    return int(text) if text.isascii() and text.isdecimal() else text or None


@app.command()
def revoke(
    key: KeyId,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """End a key; a running gateway refuses it within five seconds."""

    async def work(connection: AsyncConnection) -> shown.Shown:
        return shown.key(await key_changes.revoke_key(connection, key, operator()))

    revoked = write(Where(config, data_dir), work)
    if as_json:
        output.document(revoked)
    else:
        output.line(f"{revoked['shown']} ({revoked['name']}) is revoked")
