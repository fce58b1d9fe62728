"""Every effective setting, where it was written, and no secret."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from gateway.settings import Settings
from gateway.settings_errors import place_of
from gateway.settings_sources import Source

HIDDEN = "(hidden)"
STORES = ("redis.url", "sql.url")
"""Secrets of which only the password is one."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key; `source` is a variable, a file with the key in it, or `default`."""

    key: str
    value: Any
    source: str


def effective(settings: Settings, sources: list[Source]) -> list[Setting]:
    """All keys in the order of config.example.toml, and what the tables of names add."""
    return [
        Setting(".".join(path), value, place_of(path, sources) or "default")
        for path, value in _leaves((), settings)
    ]


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _leaves((*path, name), getattr(value, name))
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves((*path, str(name)), inner)
    elif isinstance(value, tuple) and any(isinstance(one, BaseModel) for one in value):
        for number, inner in enumerate(value):
            yield from _leaves((*path, str(number)), inner)
    else:
        yield path, _shown(".".join(path), value)


def _shown(key: str, value: Any) -> Any:
    if isinstance(value, SecretStr):
        return _without_password(value.get_secret_value()) if key in STORES else HIDDEN
    if isinstance(value, tuple):
        return [_shown(key, one) for one in value]
    if value is None or isinstance(value, bool | int):
        return value
    return str(value)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if not parts.scheme:
        return url  # "embedded"
    user, at, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0] + ":…" if ":" in user else user
    # A password may stand in the query, too.
    query = "?…" if parts.query else ""
    return f"{parts.scheme}://{name}{at}{host}{parts.path}{query}"
