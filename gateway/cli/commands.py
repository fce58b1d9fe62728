"""
The table of the commands.

Only the module of the command that was asked for is loaded: help, and a mistake, come at
once, and `gateway dev` does not wait for what `gateway prices` needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, NamedTuple

import typer

from gateway import __version__
from gateway.cli.exits import FAILURES, explain


class Listed(NamedTuple):
    """A command, or a noun with commands of its own."""

    name: str
    module: str
    help: str
    is_noun: bool = True


LISTED = (
    Listed("dev", "dev", "Try it: everything on this machine, nothing to set up.", False),
    Listed("serve", "serve", "Serve businesses, on a Redis and an SQL of your own.", False),
    Listed("recorder", "recorder", "Write calls to SQL in a process of its own.", False),
    Listed("business", "businesses", "Who pays: add, list, show, set, suspend, resume."),
    Listed("key", "keys", "What apps call with: issue, list, set, revoke."),
    Listed("top-up", "top_up", "Add credits to a business.", False),
    Listed("adjust", "adjust", "Correct a balance by hand, with a reason.", False),
    Listed("purchase", "purchases", "Receipts of what was added: list, show, refund."),
    Listed("package", "packages", "What businesses can buy: list."),
    Listed("payments", "payments", "Paid and not credited: list, reconcile, accept, dismiss."),
    Listed("transaction", "transactions", "Calls that were made: list, show."),
    Listed("usage", "usage", "What was used: by feature, user, model, business, day.", False),
    Listed("alert", "alerts", "Warnings that were raised: list, ack, send-again."),
    Listed("prices", "prices", "The rate card: what models cost."),
    Listed("ledger", "ledger", "Every micro-credit explained: verify."),
    Listed("doctor", "doctor", "What is wrong with this installation, and what helps.", False),
    Listed("import", "imports", "Businesses and balances from another system.", False),
    Listed("init", "init", "Write a config.toml for production.", False),
    Listed("config", "config", "The settings: check, show."),
    Listed("db", "db", "The tables: upgrade."),
)


def run(arguments: list[str]) -> int:
    """Run a command line; the answer is its exit code."""
    try:
        code = build(arguments)(arguments, prog_name="gateway", standalone_mode=True)
    except SystemExit as ended:
        code = ended.code
    except FAILURES as error:
        return explain(error)
    return code if isinstance(code, int) else 0


def build(arguments: list[str]) -> typer.Typer:
    """The commands, with those loaded that the arguments name."""
    root = typer.Typer(
        name="gateway",
        help="A prepaid-credits gateway in front of OpenAI.",
        no_args_is_help=True,
        add_completion=False,  # It would have to load every command.
        pretty_exceptions_enable=False,
        epilog="Exit codes: 0 done, 1 refused or failed, 2 the command line is wrong, 3 not found, "
        "4 the ledger or the records do not answer, 5 the settings are wrong, 6 a check found "
        "something wrong, 130 interrupted.",
    )
    root.callback(help=root.info.help)(_gateway)
    for listed in LISTED:
        if listed.name in arguments:
            _add(root, listed, import_module(f"gateway.cli.{listed.module}").app)
        else:
            _add(root, listed, typer.Typer() if listed.is_noun else _not_loaded)
    return root


def _add(root: typer.Typer, listed: Listed, found: object) -> None:
    if isinstance(found, typer.Typer):
        root.add_typer(found, name=listed.name, help=listed.help)
    else:
        assert callable(found), "a command is a function"
        settings = {"ignore_unknown_options": getattr(found, "takes_negative_amounts", False)}
        root.command(listed.name, short_help=listed.help, context_settings=settings)(found)


def _not_loaded() -> None:
    """Listed only."""


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"gateway {__version__}")
        raise typer.Exit


def _gateway(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """What stands before a command."""
