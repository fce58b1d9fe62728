"""Secrets among the settings: where they may lie, and that nobody is shown them."""

from __future__ import annotations

from hashlib import sha256

import pytest

from gateway.settings import Settings, SettingsWrong
from tests.gateway.wrong_settings import problems

TOKEN = "kZ3v9QpL7xW2mN8rT5yB1c"


@pytest.mark.parametrize("token", ["short", TOKEN[:21], "", "two words " * 5, "é" * 30])
def test_admin_token_that_could_be_guessed_is_refused(token):
    """128 bits are 22 characters, and a header must carry them."""
    found = problems(GATEWAY__ADMIN__TOKEN=token)

    assert found[0].startswith("GATEWAY__ADMIN__TOKEN → ")
    assert not token or token not in found[0]


def test_admin_token_or_its_digest_give_the_same_digest():
    """The file need not hold the token itself."""
    plain = Settings.load(None, {"GATEWAY__ADMIN__TOKEN": TOKEN})
    digest = sha256(TOKEN.encode())
    hashed = Settings.load(None, {"GATEWAY__ADMIN__TOKEN": digest.hexdigest()})

    assert plain.admin.token_digest == hashed.admin.token_digest == digest.digest()
    assert Settings.load(None, {}).admin.token_digest is None


SECRETS = {
    "GATEWAY__OPENAI__API_KEY": "sk-canary-000000000000000000000000",
    "GATEWAY__ADMIN__TOKEN": "canary-token-0123456789012345",
    "GATEWAY__ADMIN__METRICS_TOKEN": "canary-metrics-0123456789012345",
    "GATEWAY__REDIS__URL": "redis://:canary-redis@host",
    "GATEWAY__SQL__URL": "postgresql+asyncpg://u:canary-sql@host/name",
    "GATEWAY__PAYSTACK__SECRET_KEY": "sk_test_canary_0123456789012345678901",
    "GATEWAY__ALERTS__WEBHOOK_URL": "https://hooks.example/canary-hook",
    "GATEWAY__ALERTS__WEBHOOK_SECRET": "whsec_canary0000000000000000000000000000000000",
    "GATEWAY__ALERTS__SMTP_PASSWORD": "canary mail",
}


def test_secrets_are_not_in_the_text_of_settings():
    """Settings may be logged by mistake."""
    settings = Settings.load(None, SECRETS)

    assert "canary" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize("name", [*SECRETS, "GATEWAY__OPENAI__KEY", "GATEWAY__ADMIN", "GATEWAY__X"])
@pytest.mark.parametrize("value", ["", "c\nanary", "canary", '{"x": "canary"}', '["canary"]'])
def test_secrets_are_not_in_errors(name, value):
    """Neither as a wrong secret, nor under a wrong name, nor inside a wrong table."""
    said = ""
    try:
        Settings.load(None, {name: value})
    except SettingsWrong as wrong:
        said = str(wrong)

    assert "anary" not in said


@pytest.fixture
def credentials(tmp_path):
    """Puts secret files into a credentials directory and gives the environment for it."""
    directory = tmp_path / "credentials"
    directory.mkdir()

    def put(name: str, text: str, mode: int = 0o400) -> dict[str, str]:
        (directory / name).write_text(text)
        (directory / name).chmod(mode)
        return {"CREDENTIALS_DIRECTORY": str(directory)}

    return put


@pytest.mark.parametrize("name", ["openai.api_key", "openai__api_key", "GATEWAY__OPENAI__API_KEY"])
def test_a_secret_can_be_a_file(credentials, name):
    """Named like its key; the line end of an editor is not part of it."""
    environ = credentials(name, "sk-from-file\n")

    settings = Settings.load(None, {**environ, "OPENAI_API_KEY": "sk-from-environment"})

    assert settings.openai.api_key is not None
    assert settings.openai.api_key.get_secret_value() == "sk-from-file"


def test_a_secret_file_that_everybody_may_read_is_refused(credentials):
    """Mode 0644 is not a secret."""
    found = problems(**credentials("openai.api_key", "sk-canary", 0o644))

    assert "everybody on this machine may read it" in found[0]
    assert "canary" not in found[0]


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_secret_file_is_refused(credentials, text):
    """A mount that failed is not a secret either."""
    assert "is empty" in problems(**credentials("admin.token", text))[0]


def test_files_of_others_in_the_directory_stay_unread(credentials):
    """But a misspelt one of ours is an error."""
    Settings.load(None, credentials("tls.key", "x", 0o644))

    assert "openai.apikey is not a secret" in problems(**credentials("openai.apikey", "x"))[0]


def test_a_file_with_secrets_that_everybody_may_read_is_refused(written):
    """The same file without a secret is fine."""
    open_file = written(f'[admin]\ntoken = "{TOKEN}"', 0o644)

    assert f"{open_file} → holds admin.token" in problems(open_file)[0]

    Settings.load(written("[server]\nport = 1", 0o644), {})
    Settings.load(written('[redis]\nurl = "redis://host"', 0o644), {})


OWN = '[upstreams.acme]\napi_key = "sk-secret-of-acme"\n'


def test_the_key_of_an_upstream_is_a_secret_like_every_other(written):
    """In a file that others may read it is a problem; in what is shown it is hidden."""
    with pytest.raises(SettingsWrong, match=r"holds upstreams\.acme\.api_key"):
        Settings.load(written(OWN, mode=0o644), {})

    settings = Settings.load(written(OWN), {})

    assert settings.upstreams["acme"].api_key.get_secret_value() == "sk-secret-of-acme"
    assert "sk-secret" not in repr(settings)


@pytest.mark.parametrize(
    "text",
    [
        '[upstreams]\nacme = "sk-secret-of-acme"',
        '[upstreams.acme]\napi_key = ["sk-secret-of-acme"]',
    ],
)
def test_a_key_in_the_wrong_place_is_not_repeated(written, text):
    """The error names the place."""
    with pytest.raises(SettingsWrong) as wrong:
        Settings.load(written(text), {})

    assert "upstreams.acme" in str(wrong.value)
    assert "sk-secret" not in str(wrong.value)


def test_the_key_of_an_upstream_can_be_a_file(tmp_path):
    """Named like the key."""
    file = tmp_path / "upstreams.acme.api_key"
    file.write_text("sk-secret-of-acme\n")
    file.chmod(0o600)

    settings = Settings.load(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert settings.upstreams["acme"].api_key.get_secret_value() == "sk-secret-of-acme"
