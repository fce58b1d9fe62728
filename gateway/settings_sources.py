"""
Where settings come from: the environment, files of secrets, config.toml.

Each source gives a nested dict of what it found, and knows what to call a key it gave, so
that an error names the place where the operator wrote the wrong value.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from stat import S_IROTH
from typing import Any, ClassVar, Protocol, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

Found = dict[str, Any]
PREFIX = "GATEWAY__"


class Source(Protocol):
    """Some settings, the place they were written in, and what is wrong with that place."""

    found: Found
    problems: list[str]

    def place(self, path: tuple[str, ...]) -> str:
        """Where the operator finds the key at this path."""


class Environment(EnvSettingsSource):
    """`GATEWAY__SECTION__KEY`; lists and tables as JSON."""

    def __init__(self, settings: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = {
            name.lower(): value
            for name, value in environ.items()
            if name.upper().startswith(PREFIX)
        }
        super().__init__(settings, case_sensitive=False)
        self.found: Found = self()
        # The library looks for the names it knows and never sees the others; a
        # misspelt variable must not be a setting that silently keeps its default.
        self.problems = [
            f"{name.upper()} → there is no section {section!r}"
            for name in self._environ
            if (section := _section_of(name)) not in settings.model_fields
        ]

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._environ

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """JSON with exact decimals; what is not JSON stays text, and is refused by its type."""
        try:
            return json.loads(value, parse_float=Decimal)
        except ValueError:
            return value

    def place(self, path: tuple[str, ...]) -> str:
        """The variable's name."""
        return PREFIX + "__".join(path).upper()


class OpenAIVariables:
    """`OPENAI_API_KEY` and `OPENAI_BASE_URL`, which OpenAI's own SDKs read too."""

    _NAMES: ClassVar = {"api_key": "OPENAI_API_KEY", "base_url": "OPENAI_BASE_URL"}

    def __init__(self, environ: Mapping[str, str]) -> None:
        given = {key: environ.get(name, "") for key, name in self._NAMES.items()}
        present = {key: value for key, value in given.items() if value}
        self.found: Found = {"openai": present} if present else {}
        self.problems: list[str] = []

    def place(self, path: tuple[str, ...]) -> str:
        """The variable's name."""
        return self._NAMES[path[-1]]


class Credentials:
    """
    A directory of secrets, one a file: systemd's LoadCredential, Docker's /run/secrets.

    A file is named like its key, `openai.api_key` or `openai__api_key`; other files are
    somebody else's and stay unread.
    """

    def __init__(self, settings: type[BaseSettings], directory: Path) -> None:
        self.found: Found = {}
        self.problems: list[str] = []
        self._directory = directory
        self._files: dict[tuple[str, ...], Path] = {}
        try:
            files = sorted(directory.iterdir())
        except OSError as wrong:
            self.problems.append(f"{directory} → CREDENTIALS_DIRECTORY cannot be read: {wrong}")
            return
        for file in files:
            path = _path_of(file.name)
            if is_secret(path, settings):
                self._take(file, path)
            elif path[0] in settings.model_fields and len(path) > 1:
                self.problems.append(f"{file} → {'.'.join(path)} is not a secret setting")

    def _take(self, file: Path, path: tuple[str, ...]) -> None:
        try:
            secret = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as wrong:
            self.problems.append(f"{file} → cannot be read: {wrong}")
            return
        if _open_to_all(file):
            self.problems.append(f"{file} → everybody on this machine may read it; chmod 600 it")
        elif not secret:
            self.problems.append(f"{file} → is empty")
        table = self.found
        for part in path[:-1]:
            table = table.setdefault(part, {})
        table[path[-1]] = secret
        self._files[path] = file

    def place(self, path: tuple[str, ...]) -> str:
        """The file's path."""
        return str(self._files.get(path, self._directory))


class TomlFile:
    """config.toml, with its decimals exact."""

    def __init__(self, settings: type[BaseSettings], path: Path) -> None:
        self._path = path
        self.found: Found = {}
        self.problems: list[str] = []
        try:
            self.found = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        except FileNotFoundError:
            self.problems.append(f"{path} → there is no such file")
        except (OSError, UnicodeDecodeError) as wrong:
            self.problems.append(f"{path} → cannot be read: {wrong}")
        except tomllib.TOMLDecodeError as wrong:
            self.problems.append(f"{path} → is not TOML: {wrong}")
        secrets = [".".join(one) for one in self._secrets(settings)]
        if secrets and _open_to_all(path):
            self.problems.append(
                f"{path} → holds {' and '.join(secrets)}, and everybody on this machine may "
                f"read it; chmod 600 {path}"
            )

    def _secrets(self, settings: type[BaseSettings]) -> Iterator[tuple[str, ...]]:
        # A URL is a secret when it carries a password; admin.token may be a mere digest,
        # but whoever may read it there may as well read a token tomorrow.
        for path, value in _leaves((), self.found):
            counts = isinstance(value, str) and (path[-1] != "url" or "@" in value)
            if counts and value and is_secret(path, settings):
                yield path

    def place(self, path: tuple[str, ...]) -> str:
        """The file and the key in it."""
        return f"{self._path}: {'.'.join(path)}"


def is_secret(path: tuple[str, ...], settings: type[BaseSettings]) -> bool:
    """Whether the value at this path is never shown: section, perhaps a name, and key."""
    field = settings.model_fields.get(path[0])
    if field is None:
        return False
    names = get_origin(field.annotation) is dict
    section = get_args(field.annotation)[1] if names else field.annotation
    keys = path[2:] if names else path[1:]
    if names and len(path) == 2:  # In the place of a table somebody wrote its key.
        return any(
            is_secret((*path, key), settings) for key in getattr(section, "model_fields", {})
        )
    inner = getattr(section, "model_fields", {}).get(keys[0]) if len(keys) == 1 else None
    return inner is not None and SecretStr in _types_in(inner.annotation)


def _leaves(path: tuple[str, ...], found: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(found, dict):
        for name, inner in found.items():
            yield from _leaves((*path, name), inner)
    elif path:
        yield path, found


def _types_in(annotation: Any) -> set[Any]:
    inner = getattr(annotation, "__args__", ())
    found = {annotation, *inner}
    return found.union(*(_types_in(one) for one in inner)) if inner else found


def _section_of(variable: str) -> str:
    return variable.removeprefix(PREFIX.lower()).partition("__")[0]


def _path_of(name: str) -> tuple[str, ...]:
    return tuple(name.lower().removeprefix(PREFIX.lower()).replace("__", ".").split("."))


def _open_to_all(file: Path) -> bool:
    return bool(file.stat().st_mode & S_IROTH)


def merged(sources: list[Source]) -> Found:
    """What all sources found; an earlier one wins, key by key."""
    result: Found = {}
    for source in reversed(sources):
        result = _over(result, source.found)
    return result


def _over(below: Found, above: Found) -> Found:
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        result[key] = _over(under, value) if both else value  # type: ignore[arg-type]
    return result
