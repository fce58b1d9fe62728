"""The command `gateway`, run on records of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.commands import run


@dataclass(frozen=True)
class Ran:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[Any]:
        """The JSON documents it printed, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def document(self) -> Any:
        """The one JSON document it printed."""
        assert self.code == 0, self.err
        [document] = self.documents
        return document


Command = Callable[..., Ran]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and working directory, and no settings in the environment."""
    for name in ("GATEWAY_CONFIG", "CREDENTIALS_DIRECTORY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "nowhere"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def command(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command that has to find its records itself."""

    def ran(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run(list(arguments))
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return ran


@pytest.fixture
def gateway(command: Command, records_url: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command on empty records; each test on SQLite and on PostgreSQL."""
    monkeypatch.setenv("GATEWAY__SQL__URL", records_url)
    return command


@pytest.fixture
def acme(gateway: Command) -> str:
    """The id of a business."""
    added = gateway("business", "add", "Acme", "--email", "owner@acme.example", "--json")
    return str(added.document["id"])
