"""What we depend on is declared, pinned and hashed, and nothing is declared in vain."""

from __future__ import annotations

import re
import sys
import sysconfig
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.sources import FLOORS, ROOT, sources

NOT_IMPORTED_BY_US = {
    "hiredis": "redis-py parses with it",
    "tzdata": "zoneinfo reads it where the system has no time zones",
    "uvloop": "uvicorn runs on it",
    "httptools": "uvicorn parses with it, and refuses what smuggles",
    "aiosqlite": "SQLAlchemy's driver for SQLite",
    "asyncpg": "SQLAlchemy's driver for PostgreSQL",
}
"""Dependencies that another one uses for us."""

NOT_DECLARED = {
    "genai-prices": "only `gateway prices update` asks for it, which says how to install it",
    "pydantic-core": "the other half of pydantic, which pins it",
}
"""Imported all the same."""

LOCKS = ("requirements.lock", "requirements-test.lock", "requirements-build.lock")


@cache
def declared(extra: str | None = None) -> frozenset[str]:
    """The distributions that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return frozenset(_normal(re.split(r"[\[<>=~!; ]", line, maxsplit=1)[0]) for line in lines)


@cache
def pins(lock: str) -> dict[str, str]:
    """Distribution → the text of its pin and hashes."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE)
    entries = re.split(r"\n(?=\S)", text.strip())
    return {_normal(entry.partition("==")[0]): entry for entry in entries}


def imported() -> set[str]:
    """The distributions that our three floors import, wherever in a file."""
    found = {name.partition(".")[0] for source in sources(*FLOORS) for name in source.imports}
    providers = packages_distributions()
    return {
        _normal(providers[name][0])
        for name in found - sys.stdlib_module_names - set(FLOORS) - {"__future__"}
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_we_import_is_declared() -> None:
    """A package that only came along with another may go with it."""
    assert imported() - declared() - NOT_DECLARED.keys() == set()


def test_what_is_declared_is_used() -> None:
    """Each dependency is somebody else's code in our process: few, and each for a reason."""
    assert declared() - imported() - NOT_IMPORTED_BY_US.keys() == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_no_index(lock: str) -> None:
    """Any index will do, as long as the files are those we looked at."""
    text = (ROOT / lock).read_text()

    assert not re.search(r"^\s*-(?!-hash=sha256:[0-9a-f]{64}\b)", text, re.MULTILINE)
    assert "://" not in text
    for name, entry in pins(lock).items():
        assert re.match(r"[\w.-]+==[\w.]+ ", entry), f"{name} is not pinned"
        assert "--hash=sha256:" in entry, f"{name} has no hash"


def test_locks_hold_what_is_declared() -> None:
    """`./run lock` was run after the last change of pyproject.toml."""
    assert declared() <= pins("requirements.lock").keys()
    assert (
        declared() | declared("test") | declared("check") <= pins("requirements-test.lock").keys()
    )
    assert "hatchling" in pins("requirements-build.lock")


def test_nothing_installed_runs_by_itself() -> None:
    """A line of code in a .pth file runs whenever Python starts: so a stealer once came in."""
    folder = Path(sysconfig.get_path("purelib"))
    running = {
        path.name
        for path in folder.glob("*.pth")
        for line in path.read_text().splitlines()
        if line.startswith(("import ", "import\t"))
    }

    # From setuptools, which Python 3.11 puts into a new environment.
    assert running - {"distutils-precedence.pth"} == set()


def test_locks_agree() -> None:
    """What is tested is what is served."""
    tested = pins("requirements-test.lock")
    differing = [
        name
        for lock in ("requirements.lock", "requirements-build.lock")
        for name, entry in pins(lock).items()
        if name in tested and entry != tested[name]
    ]

    assert not differing
