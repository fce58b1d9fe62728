"""Fixtures of the gateway's own tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.one_house import access_log, house, valkey_url  # noqa: F401  (Fixtures.)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes config.toml as its owner would and gives its path."""

    def write(text: str, mode: int = 0o600) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write
