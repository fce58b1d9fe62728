"""The pages say what the code does: codes, reasons, paths and links are held against it."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path
from typing import Any, cast

import pytest

from gateway import cli
from gateway.admin import refusals
from gateway.admin.routes import NOUNS
from gateway.cli import exits
from gateway.cli.commands import LISTED
from gateway.endpoints import METERED, OWN, REASONS
from gateway.error_replies import _UNEXPECTED, TABLE, Said

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def rows_of(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without their backticks."""
    part = (DOCS / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[2:]]


def told(said: Said) -> tuple[str, ...]:
    retry = f"{said.retry_after_s} s" if said.retry_after_s else "yes" if said.retry else "no"
    return (str(said.status), said.code, said.type, retry)


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("Under `/v1`", [*TABLE.values(), _UNEXPECTED]),
        ("Under `/admin`", list(refusals._TABLE.values())),
    ],
)
def test_errors_are_those_of_the_table(heading: str, table: list[Said]) -> None:
    """docs/errors.md has each answer once, with its status, type and advice to try again."""
    listed = [tuple(row[:4]) for row in rows_of("errors.md", heading)]

    assert sorted(listed) == sorted({told(said) for said in table})


def test_the_errors_that_sdks_see_are_there() -> None:
    """docs/sdks.md names no code that the gateway never answers, nor with another status."""
    lines = re.findall(r"^\| (\d{3}) \| ([^|]*)\|", (DOCS / "sdks.md").read_text(), re.MULTILINE)
    named = {
        (int(status), code) for status, codes in lines for code in re.findall(r"`(\w+)`", codes)
    }

    assert len(named) > 5
    assert named <= {(said.status, said.code) for said in TABLE.values()}


def test_reasons_are_those_of_the_endpoints() -> None:
    """docs/endpoints.md has each reason for a refusal, in the words of the reply."""
    listed = {row[0]: row[1] for row in rows_of("endpoints.md", "Refused")}

    assert listed == REASONS


def test_what_is_served_is_listed() -> None:
    """docs/endpoints.md has each operation that is served, and no other."""
    listed = {row[0] for row in rows_of("endpoints.md", "Served")}

    served = {f"{method} {path}" for method, path in (*METERED, *OWN)}
    assert listed == served | {"GET /v1/models/{model}"}


def test_each_path_of_the_admin_api_is_described() -> None:
    """docs/admin-api.md names each method and path, and none that is not there."""
    desk = cast(Any, None)  # Routes are told without a desk; only their work needs one.
    routes = [route for noun in NOUNS for route in noun(desk).routes()]
    there = {
        f"{method} {route.path}"
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
    }

    named = re.findall(
        r"`((?:GET|POST|PATCH|DELETE) /admin[^`?]*)`", (DOCS / "admin-api.md").read_text()
    )

    assert set(named) == there


def test_each_command_is_listed() -> None:
    """docs/commands.md has every command, and no other."""
    page = (DOCS / "commands.md").read_text().partition("\n## ")[0]
    named = set(re.findall(r"^\| .*?`gateway ([a-z-]+)", page, re.MULTILINE))
    named |= set(re.findall(r"^\| .*, `gateway ([a-z-]+)`", page, re.MULTILINE))
    assert named == {listed.name for listed in LISTED}


def test_exit_codes_are_those_of_the_commands() -> None:
    """docs/commands.md and the head of the command line tell each of them."""
    listed = {int(row[0]) for row in rows_of("commands.md", "Exit codes")}

    codes = {value for name, value in vars(exits).items() if name.isupper() and type(value) is int}
    assert listed == codes | {0}
    assert all(re.search(rf"\b{code}\b", cli.__doc__ or "") for code in codes)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file names one that is there."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


SNIPPETS = [
    pytest.param(snippet, id=f"{page.relative_to(ROOT).as_posix()}-{number}")
    for page in PAGES
    for number, snippet in enumerate(
        re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    )
]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_python(snippet: str) -> None:
    """What a page shows as Python can be pasted: it compiles, and makes every name it reads."""
    compile(snippet, "snippet", "exec")

    assert names_from_nowhere(ast.parse(snippet)) == set()


def names_from_nowhere(tree: ast.Module) -> set[str]:
    """The names that a snippet reads and nobody has made."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    made = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            made |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            made.add(node.name)
    return {node.id for node in names} - made - set(dir(builtins))
