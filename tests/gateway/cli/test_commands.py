"""The command line itself: what is listed, how it fails, how soon it answers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway import __version__
from gateway.cli.commands import LISTED

HEAVY = (
    "sqlalchemy",
    "pydantic",
    "redis",
    "uvicorn",
    "httpx2",
    "tiktoken",
    "starlette",
    "gateway.app",
)


def test_help_lists_every_command(command):
    """With one line for each."""
    shown = command("--help")

    assert shown.code == 0
    for listed in LISTED:
        assert listed.name in shown.out
        assert listed.help.split(":")[0][:30] in shown.out


@pytest.mark.parametrize("listed", LISTED, ids=lambda listed: listed.name)
def test_every_command_loads_and_explains_itself(command, listed):
    """A listed command exists, and its own help is more than the listed line."""
    shown = command(listed.name, "--help")

    assert shown.code == 0
    assert f"gateway {listed.name}" in shown.out


def test_help_loads_nothing_heavy():
    """It must come at once; what is slow is loaded by the command that needs it."""
    code = f"""
import sys
from gateway.cli.commands import run
run(["--help"])
loaded = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(f"loaded: {{loaded}}" if loaded else 0)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert ended.returncode == 0, ended.stderr


def test_module_and_command_are_the_same():
    """`python -m gateway` needs no installed script."""
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True
    )

    assert (ended.returncode, ended.stdout) == (0, f"gateway {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["business", "nothing"],
        ["business", "list", "--nothing"],
        ["business", "add"],
        ["top-up"],
        ["top-up", "id", "30", "--nothing"],
        ["business", "list", "--limit", "0"],
        ["business", "list", "--config", "a.toml", "--data-dir", "b"],
        ["dev", "--port", "70000"],
    ],
)
def test_a_wrong_command_line_exits_2(command, arguments):
    """And says on stderr what is wrong with it."""
    ended = command(*arguments)

    assert ended.code == 2
    assert ended.err
    assert ended.out == ""


def test_without_records_the_command_says_where_it_looked(command, nowhere):
    """The default is the data directory of `gateway dev`; nothing is made by looking."""
    ended = command("business", "list")

    assert ended.code == 1
    assert f"{nowhere}/.local/share/gateway" in ended.err
    assert "--config" in ended.err
    assert list(nowhere.iterdir()) == []


def test_settings_that_are_wrong_exit_5(command, nowhere):
    """Every problem on a line of its own."""
    (nowhere / "config.toml").write_text('[server]\nport = "abc"\nprot = 1')
    ended = command("business", "list")

    assert ended.code == 5
    lines = ended.err.splitlines()
    assert lines[0].startswith("gateway: config.toml: server.port → ")
    assert lines[1].startswith("gateway: config.toml: server.prot → ")


def test_settings_without_records_exit_5(command, nowhere):
    """sql.url is what a command needs."""
    (nowhere / "config.toml").write_text("[server]\nport = 1")

    ended = command("business", "list")

    assert ended.code == 5
    assert "sql.url" in ended.err


@pytest.mark.parametrize("name", ["none.toml", "."])
def test_a_file_that_cannot_be_read_exits_5(command, name):
    """A named file is never passed over."""
    assert command("business", "list", "--config", name).code == 5


def test_records_that_are_away_exit_4(command, monkeypatch):
    """The line says so, without the password."""
    url = "postgresql+asyncpg://u:canary@127.0.0.1:1/name"
    monkeypatch.setenv("GATEWAY__SQL__URL", url)

    ended = command("business", "list")

    assert ended.code == 4
    assert ended.err.startswith("gateway: ")
    assert "Traceback" not in ended.err
    assert "canary" not in ended.err


def test_tables_that_are_too_old_name_the_upgrade(command, database_url, monkeypatch):
    """`gateway db upgrade` helps, and may be run twice."""
    monkeypatch.setenv("GATEWAY__SQL__URL", database_url)
    before = command("business", "list")

    assert before.code == 4
    assert "gateway db upgrade" in before.err
    assert command("db", "upgrade").code == 0
    assert command("db", "upgrade").code == 0
    assert command("business", "list").code == 0


def test_the_data_directory_of_dev_is_found(command, nowhere, sqlite_template):
    """By name, and by itself where there is no settings file."""
    default = nowhere / ".local/share/gateway"
    for folder, options in ((nowhere / "dev", ["--data-dir", "dev"]), (default, [])):
        folder.mkdir(parents=True)
        (folder / "gateway.db").write_bytes(sqlite_template.read_bytes())

        assert command("business", "add", "Acme", "--email", "a@b", *options).code == 0
        assert "Acme" in command("business", "list", *options).out


@pytest.mark.parametrize("how", ["option", "variable", "here"])
def test_a_settings_file_is_found(command, nowhere, sqlite_records_url, how, monkeypatch):
    """--config, else $GATEWAY_CONFIG, else ./config.toml."""
    file = nowhere / ("config.toml" if how == "here" else "other.toml")
    file.write_text(f'[sql]\nurl = "{sqlite_records_url}"')
    if how == "variable":
        monkeypatch.setenv("GATEWAY_CONFIG", str(file))
    options = ["--config", str(file)] if how == "option" else []

    assert command("business", "add", "Acme", "--email", "a@b", *options).code == 0


def test_serve_names_what_it_needs(command):
    """All at once, before anything is started."""
    ended = command("serve")

    assert ended.code == 5
    for key in ("redis.url", "sql.url", "openai.api_key"):
        assert key in ended.err


def test_serve_refuses_more_workers_than_its_stores_have(command, monkeypatch, sqlite_records_url):
    """--workers counts like the setting."""
    monkeypatch.setenv("GATEWAY__SQL__URL", sqlite_records_url)
    monkeypatch.setenv("GATEWAY__REDIS__URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")

    ended = command("serve", "--workers", "2")

    assert ended.code == 5
    assert "SQLite serves one worker" in ended.err


def test_config_check_says_what_serve_would(command, nowhere):
    """Fine, or every problem."""
    file = nowhere / "config.toml"
    file.write_text('[redis]\nurl = "embedded"\n[sql]\nurl = "sqlite+aiosqlite:///x.db"')

    assert command("config", "check").code == 5

    file.write_text(file.read_text() + '\n[openai]\napi_key = "sk-test"')
    file.chmod(0o600)

    assert command("config", "check").out == "config.toml is fine\n"
