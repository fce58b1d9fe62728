"""
Peers from PyPI and npm, each into a folder of its own under `.bench/`.

A folder is kept between runs; one that was left half way is made anew.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.peers.peer import NotHad, Peer

KEPT = Path(__file__).parents[2] / ".bench"
INSTALLED_WITHIN_S = 900.0
WHOLE = ".installed"

Say = Callable[[str], None]


def had(peer: Peer, *, say: Say, kept: Path = KEPT) -> Path:
    """
    The folder that a peer is installed in, after installing it where it is not.

    Raises:
        NotHad: It cannot be had here; the text says why.
    """
    folder = kept / peer.title.replace(" ", "-").lower()
    if (folder / WHOLE).exists():
        return folder
    say(f"installing {peer.title} into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    peer.install(folder)
    (folder / WHOLE).touch()
    return folder


def from_pypi(folder: Path, requirement: str) -> None:
    """A venv with one package and what it needs; only wheels, so that nothing is built."""
    _run([sys.executable, "-m", "venv", folder], "venv")
    pip: list[str | Path] = [
        folder / "bin" / "pip",
        "install",
        "--quiet",
        "--no-input",
        "--only-binary",
        ":all:",
    ]
    _run([*pip, requirement], f"pip install {requirement}")


def from_npm(folder: Path, package_json: str) -> None:
    """What a package.json names; install scripts stay off."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise NotHad(f"{program} is not on PATH; on Debian: apt-get install nodejs npm")
    (folder / "package.json").write_text(package_json)
    install: list[str | Path] = [
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        folder,
    ]
    _run(install, "npm install")


def _run(command: Sequence[str | Path], name: str) -> None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INSTALLED_WITHIN_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotHad(f"{name}: {error}") from error
    if done.returncode:
        raise NotHad(f"{name}: {why(done.stderr or done.stdout)}")


def why(output: str) -> str:
    """The line of an installer's output that says what is wrong, shortened; never an address."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and "://" not in line]
    told = [line for line in lines if "://" not in line]
    line = (errors or told or ["it failed and said nothing"])[-1]
    return line if len(line) <= 160 else f"{line[:160]}…"
