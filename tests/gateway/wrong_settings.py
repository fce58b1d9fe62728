"""Settings that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import Settings, SettingsWrong


def problems(path: Path | None = None, **environ: str) -> list[str]:
    """What is said about settings that are wrong, a line a problem."""
    with pytest.raises(SettingsWrong) as wrong:
        Settings.load(path, environ)
    return wrong.value.problems
