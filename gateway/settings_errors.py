"""
What is wrong with the settings, in lines that an operator can act on:

    config.toml: server.port → input should be a valid integer | got 'abc'
"""

from __future__ import annotations

from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

from gateway.plural import without_capital
from gateway.settings_sources import Source, is_secret

Path = tuple[str, ...]

_WORDS = {"tuple_type": "should be a list", "model_type": "should be a table"}


class SettingsWrong(Exception):
    """
    The gateway cannot start with these settings.

    Attributes:
        problems: One line for each, never with a secret in it.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def problems_of(
    wrong: ValidationError, sources: list[Source], settings: type[BaseSettings]
) -> list[str]:
    """One line a problem: the place, the key, what is allowed, what was found."""
    problems = []
    for error in wrong.errors(include_url=False):
        if error["loc"]:
            problems.append(_problem(error, sources, settings))
        else:
            problems += [_placed(line, sources) for line in _said(error).split("\n")]
    return problems


def _problem(error: ErrorDetails, sources: list[Source], settings: type[BaseSettings]) -> str:
    path = tuple(str(part) for part in error["loc"] if part != "[key]")
    place = _place(path, sources)
    if error["type"] == "extra_forbidden":
        return f"{place} → is not a setting{_meant(path, settings)}"
    return f"{place} → {_said(error)}{_got(error['input'], path, settings)}"


def _said(error: ErrorDetails) -> str:
    return _WORDS.get(error["type"]) or without_capital(error["msg"].removeprefix("Value error, "))


def _placed(line: str, sources: list[Source]) -> str:
    key, arrow, rest = line.partition(" → ")
    return f"{_place(tuple(key.split('.')), sources)}{arrow}{rest}"


def _place(path: Path, sources: list[Source]) -> str:
    return place_of(path, sources) or ".".join(path)


def place_of(path: Path, sources: list[Source]) -> str | None:
    """Where the value of a key was written; None where it is nowhere."""
    return next((source.place(path) for source in sources if _holds(source.found, path)), None)


def _holds(found: Any, path: Path) -> bool:
    for part in path:
        if isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, dict) and part in found:
            found = found[part]
        else:
            return False
    return True


def _got(value: Any, path: Path, settings: type[BaseSettings]) -> str:
    """What was found, unless it is a secret, or text in which one may hide."""
    if is_secret(path, settings):
        return ""
    if isinstance(value, bool | int | Decimal):
        return f" | got {value}"
    if isinstance(value, str) and len(path) > 1 and "@" not in value:
        return f" | got {value[:60]!r}"
    return ""


def _meant(path: Path, settings: type[BaseSettings]) -> str:
    names = list(settings.model_fields)
    if len(path) > 1 and path[0] in names:
        names = list(_section(settings.model_fields[path[0]].annotation).model_fields)
    close = get_close_matches(path[-1], names, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _section(annotation: Any) -> Any:
    """The section in `Section`, `dict[Name, Section]` or `tuple[Section, ...]`."""
    inner = [one for one in getattr(annotation, "__args__", ()) if hasattr(one, "model_fields")]
    return inner[0] if inner else annotation
