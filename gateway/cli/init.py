"""`gateway init`: a config.toml for production, with an admin token of its own."""

from __future__ import annotations

import os
import re
import secrets
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.exits import CommandRefused
from gateway.cli.options import AsJson

HEAD = """\
# The settings of this gateway, written by `gateway init`. A line that begins with "# key ="
# shows the default, or an example where there is none: take the # away to change it.
#
"""


OF_THE_EXAMPLE = """\
 Lines that begin with "# key =" have no
# default: they show an example."""


def app(
    directory: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where config.toml is written.")
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """
    Write config.toml for `gateway serve`, readable by you alone; never over one that is there.

    The admin token is printed this once: the file has its SHA-256.
    """
    token = secrets.token_urlsafe(32)
    file = directory.expanduser() / "config.toml"
    _write(file, written(example(), sha256(token.encode()).hexdigest()))
    commands = [
        f"gateway {verb} --config {file}" for verb in ("config check", "db upgrade", "serve")
    ]
    if as_json:
        output.document({"file": str(file), "admin_token": token, "next": commands})
        return
    output.line(f"wrote {file}, readable by you alone")
    output.line(f"admin token  {token}")
    typer.echo("Keep it now, nobody can show it again: the file has its SHA-256.", err=True)
    output.line("Set openai.api_key, redis.url and sql.url in it; then:")
    for command in commands:
        output.line(f"  {command}")


def example() -> str:
    """The text of config.example.toml: beside this code, or at the root of a checkout."""
    packaged = resources.files("gateway") / "config.example.toml"
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "config.example.toml").read_text(encoding="utf-8")


def written(text: str, token_digest: str) -> str:
    """
    The example as settings to begin with.

    Defaults are comments, so that a newer version's count; what a server cannot do without
    is not, so that `config check` names what is still to be set.
    """
    _, _, body = text.partition("\n#\n")
    body = _set(body, OF_THE_EXAMPLE, "")
    lines = [re.sub(r"^(?=[a-z_0-9]+ = )", "# ", line) for line in body.splitlines()]
    body = "\n".join(lines) + "\n"
    for line in ('url = "redis://user:password@127.0.0.1:6379/0"',
                 'url = "postgresql+asyncpg://gateway@127.0.0.1/gateway"'):  # fmt: skip
        body = _set(body, f"# {line}", line)
    return HEAD + _set(body, '# token = "…"', f'token = "{token_digest}"')


def _set(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"config.example.toml has {old} once"
    return text.replace(old, new)


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # It must not be there: not as a link, not for a moment readable by others.
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandRefused(
            f"{file} is there already and is left as it is; move it away, or choose another "
            "directory with --dir"
        ) from None
    except OSError as error:
        raise CommandRefused(f"{file} cannot be written: {error.strerror}") from error
    with os.fdopen(opened, "w", encoding="utf-8") as out:
        out.write(text)
