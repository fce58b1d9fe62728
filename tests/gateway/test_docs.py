"""The pages say what the code does: codes, reasons, paths and links are held against it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.admin import refusals
from gateway.admin.routes import NOUNS
from gateway.endpoints import METERED, OWN, REASONS
from gateway.errors import _UNEXPECTED, TABLE, Said

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


def test_reasons_are_those_of_the_endpoints() -> None:
    """docs/endpoints.md has each reason for a refusal, in the words of the reply."""
    listed = {row[0]: row[1] for row in rows_of("endpoints.md", "Refused")}

    assert listed == REASONS


def test_what_is_served_is_listed() -> None:
    """docs/endpoints.md has each operation that is served, and no other."""
    listed = {row[0] for row in rows_of("endpoints.md", "Served")}

    metered = {f"{method} {path}" for method, path in METERED}
    assert listed == metered | {f"GET {path}" for path in OWN} | {"GET /v1/models/{model}"}


def test_each_path_of_the_admin_api_is_described() -> None:
    """docs/admin-api.md names each method and path, and none that is not there."""
    desk = cast(Any, None)  # Routes are told without a desk; only their work needs one.
    routes = [route for noun in NOUNS for route in noun(desk).routes()]
    there = {
        f"{method} {route.path}"
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
    }

    named = re.findall(r"`((?:GET|POST|DELETE) /admin[^`?]*)`", (DOCS / "admin-api.md").read_text())

    assert set(named) == there


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file names one that is there."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []
