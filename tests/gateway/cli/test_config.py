"""`gateway init` and `gateway config`: settings to begin with, and those that count."""

from __future__ import annotations

import re
import tomllib
from hashlib import sha256

import pytest

from gateway.cli import init
from gateway.settings import Settings


def test_init_writes_settings_to_begin_with(command, nowhere):
    """Readable by their owner alone; the token is shown once and only its digest is kept."""
    ended = command("init", "--dir", "new/gateway")

    file = nowhere / "new/gateway/config.toml"
    [token] = re.findall(r"^admin token +(\S+)$", ended.out, re.MULTILINE)
    assert ended.code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert token not in file.read_text()
    assert f'token = "{sha256(token.encode()).hexdigest()}"' in file.read_text()
    assert "nobody can show it again" in ended.err
    lines = ended.out.splitlines()[-3:]
    assert [line.split()[:3] for line in lines] == [
        ["gateway", "config", "check"], ["gateway", "db", "upgrade"],
        ["gateway", "serve", "--config"],
    ]  # fmt: skip


def test_what_init_writes_are_the_defaults(command, nowhere):
    """All but what a server needs; only the OpenAI key is still to be set."""
    command("init")
    file = nowhere / "config.toml"
    set_here = {
        f"{section}.{key}"
        for section, keys in tomllib.loads(file.read_text()).items()
        for key in keys
    }
    settings = Settings.load(file, {})

    assert set_here == {"redis.url", "sql.url", "admin.token"}
    assert settings.credits == Settings.load(None, {}).credits
    missing = command("config", "check")
    assert (missing.code, missing.err.count("\n")) == (5, 1)
    assert "openai.api_key" in missing.err


def test_every_setting_is_in_what_init_writes(command, nowhere):
    """Each with what it is for, as in the example."""
    command("init")
    text = (nowhere / "config.toml").read_text()

    for line in init.example().splitlines():
        if re.match(r"[a-z_]+ = ", line):
            assert f"# {line}" in text


def test_init_never_writes_over_a_file(command, nowhere):
    """Not over settings, nor through a link to somewhere else."""
    (nowhere / "config.toml").write_text("[server]\nport = 1\n")
    (nowhere / "linked").mkdir()
    (nowhere / "linked/config.toml").symlink_to(nowhere / "elsewhere")

    for folder in (".", "linked"):
        ended = command("init", "--dir", folder)

        assert ended.code == 1
        assert "is there already" in ended.err
        assert "token" not in ended.out
    assert (nowhere / "config.toml").read_text() == "[server]\nport = 1\n"
    assert not (nowhere / "elsewhere").exists()


def test_init_for_scripts(command, nowhere):
    """One document, with the token in it."""
    told = command("init", "--json").document

    digest = sha256(told["admin_token"].encode()).hexdigest()
    assert digest in (nowhere / told["file"]).read_text()
    assert len(told["next"]) == 3


def test_a_folder_that_cannot_be_written_is_named(command, nowhere):
    """In one line."""
    (nowhere / "file").write_text("")

    ended = command("init", "--dir", "file/folder")

    assert ended.code == 1
    assert ended.err.startswith("gateway: file/folder/config.toml cannot be written: ")


CANARY = "canary-0123456789abcdef0123456789abcdef"


@pytest.fixture
def set_up(nowhere, monkeypatch):
    """Settings from everywhere, each secret among them."""
    (nowhere / "config.toml").write_text(f"""
[server]
port = 9000
[openai]
admin_key = "{CANARY}"
[redis]
url = "redis://gateway:{CANARY}@redis.example:6379/0?client_name={CANARY}"
[admin]
token = "{CANARY}"
[paystack]
secret_key = "{CANARY}"
[alerts]
smtp_password = "{CANARY}"
webhook_url = "https://example.com/{CANARY}"
webhook_secret = "whsec_{CANARY.replace("-", "/")}A"
[features.idea]
multiplier = 2
[[packages]]
name = "Starter"
price = "30.00"
credits = 30
""")
    (nowhere / "config.toml").chmod(0o600)
    secrets = nowhere / "secrets"
    secrets.mkdir()
    (secrets / "openai.api_key").write_text(CANARY)
    (secrets / "openai.api_key").chmod(0o600)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secrets))
    monkeypatch.setenv("GATEWAY__SQL__URL", f"postgresql+asyncpg://me:{CANARY}@db/gateway")
    monkeypatch.setenv("GATEWAY__SERVER__HOST", "0.0.0.0")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://eu.example.com/v1")


def test_settings_are_shown_with_where_they_were_written(command, set_up, nowhere):
    """Environment, secret files, OPENAI_…, config.toml, and the defaults."""
    found = {
        one["key"]: (one["value"], one["source"])
        for one in command("config", "show", "--json").documents
    }

    assert found["server.host"] == ("0.0.0.0", "GATEWAY__SERVER__HOST")
    assert found["server.port"] == (9000, "config.toml: server.port")
    assert found["server.workers"] == (1, "default")
    assert found["openai.base_url"] == ("https://eu.example.com/v1", "OPENAI_BASE_URL")
    assert found["openai.api_key"] == ("(hidden)", str(nowhere / "secrets/openai.api_key"))
    assert found["features.idea.multiplier"] == ("2", "config.toml: features.idea.multiplier")
    assert found["packages.0.price"] == ("30.00", "config.toml: packages.0.price")
    assert found["paystack.callback_url"] == (None, "default")
    assert found["sql.url"] == ("postgresql+asyncpg://me:…@db/gateway", "GATEWAY__SQL__URL")
    assert found["redis.url"][0] == "redis://gateway:…@redis.example:6379/0?…"
    shown = {".".join(key.split(".")[:2]) for key in found}
    every = {
        f"{section}.{key}"
        for section, field in Settings.model_fields.items()
        for key in getattr(field.annotation, "model_fields", {})
    }
    assert every <= shown


def test_no_secret_is_shown(command, set_up):
    """In neither form."""
    for options in ([], ["--json"]):
        ended = command("config", "show", *options)

        assert ended.code == 0, ended.err
        assert "canary" not in ended.out + ended.err


def test_settings_that_are_wrong_are_not_shown(command, nowhere):
    """What does not count is no effective setting."""
    (nowhere / "config.toml").write_text("[server]\nprot = 1")

    assert command("config", "show").code == 5


def test_check_says_what_nothing_reads(command, set_up, monkeypatch):
    """An operator who sets it should not believe in it; the settings are fine all the same."""
    ended = command("config", "check")

    assert ended.out == "config.toml is fine\n"
    assert "gateway: openai.admin_key is set, and nothing reads it" in ended.err


def test_settings_of_a_data_directory(command, nowhere):
    """Those of the commands for what `gateway dev` keeps; never of two places, or of nothing."""
    (nowhere / "config.toml").write_text("not = [toml")
    (nowhere / "state").mkdir()
    (nowhere / "state/gateway.db").touch()

    shown = command("config", "show", "--data-dir", "state", "--json")
    checked = command("config", "check", "--data-dir", "state")
    both = command("config", "show", "--data-dir", "state", "--config", "config.toml")
    none = command("config", "check", "--data-dir", "elsewhere")

    [url] = [one["value"] for one in shown.documents if one["key"] == "sql.url"]
    assert url.endswith("/nowhere/state/gateway.db") or "***" in url
    assert (checked.code, checked.out) == (0, "state is fine\n")
    assert (both.code, none.code) == (2, 1)
    assert "there are no records in" in none.err
