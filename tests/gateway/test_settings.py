"""Settings: what an operator wrote is understood exactly, or refused where it was written."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.settings import Settings, SettingsWrong, unused
from metering.money import Credits
from tests.gateway.wrong_settings import problems


def test_without_a_file_everything_has_its_default():
    """The contract's defaults, exact to the last decimal."""
    settings = Settings.load(None, {})

    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.openai.base_url == "https://api.openai.com/v1"
    assert str(settings.credits.credits_per_usd) == "12.00"
    assert settings.credits.low_balance_threshold == Credits.parse("10")
    assert settings.holds.lease_s == 120


@pytest.mark.parametrize("text", ["12.00", "0.1", "1.000000001", "15"])
def test_decimals_of_the_file_are_exact(written, text):
    """A TOML number never passes through a float."""
    settings = Settings.load(written(f"[credits]\ncredits_per_usd = {text}\nmarkup = '{text}'"), {})

    assert settings.credits.credits_per_usd == Decimal(text)
    assert settings.credits.markup == Decimal(text)


def test_environment_goes_before_openai_variables_and_those_before_the_file(written):
    """GATEWAY__… is the last word."""
    path = written('[openai]\nbase_url = "https://file"\nconnect_timeout_s = 7')
    openai = {"OPENAI_BASE_URL": "https://openai-variable"}

    everything = Settings.load(path, {**openai, "GATEWAY__OPENAI__BASE_URL": "https://own"})
    without_own = Settings.load(path, openai)
    file_only = Settings.load(path, {"OPENAI_BASE_URL": ""})

    assert everything.openai.base_url == "https://own"
    assert without_own.openai.base_url == "https://openai-variable"
    assert file_only.openai.base_url == "https://file"
    assert everything.openai.connect_timeout_s == 7


def test_lists_and_tables_of_the_environment_are_json():
    """Decimals in that JSON are exact too."""
    settings = Settings.load(
        None,
        {
            "GATEWAY__SERVER__ALLOWED_HOSTS": '["a.example", "b.example"]',
            "GATEWAY__MODELS": '{"gpt-5": {"multiplier": 1.10}}',
            "GATEWAY__FEATURES__CHAT__MULTIPLIER": "0.3",
        },
    )

    assert settings.server.allowed_hosts == ("a.example", "b.example")
    assert str(settings.models["gpt-5"].multiplier) == "1.10"
    assert settings.features["chat"].multiplier == Decimal("0.3")


def test_an_error_names_place_key_rule_and_value(written):
    """The operator finds the line without searching."""
    path = written('[server]\nport = "abc"')

    assert problems(path) == [
        f"{path}: server.port → input should be a valid integer, "
        "unable to parse string as an integer | got 'abc'"
    ]


def test_every_problem_is_named_at_once(written):
    """Nobody starts the gateway five times to find five mistakes."""
    path = written("[server]\nport = 70000\nprot = 1\n[credits]\nmarkup = 0")

    found = "\n".join(problems(path, GATEWAY__SRVER__PORT="1", GATEWAY__HOLDS__LEASE_S="x"))

    assert "GATEWAY__SRVER__PORT → there is no section 'srver'" in found
    assert "server.port → " in found
    assert "got 70000" in found
    assert "server.prot → is not a setting; did you mean port?" in found
    assert "credits.markup → " in found
    assert "GATEWAY__HOLDS__LEASE_S → " in found


@pytest.mark.parametrize(
    "variable",
    ["GATEWAY__SERVER__PROT", "GATEWAY__SRVER__PORT", "GATEWAY__PORT", "GATEWAY__SERVER__PORT__X"],
)
def test_unknown_variables_are_errors(variable):
    """A misspelt variable is not a setting that silently keeps its default."""
    assert problems(None, **{variable: "1"})[0].startswith(variable.removesuffix("__X"))


def test_unknown_variables_of_others_are_not_ours():
    """Only GATEWAY__ with two underscores is looked at."""
    Settings.load(None, {"GATEWAY_CONFIG": "x", "PATH": "/bin", "GATEWAYS__A": "1"})


@pytest.mark.parametrize(
    "key", ["credits.credits_per_usd", "credits.markup", "credits.minimum", "holds.lease_s"]
)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "-1", "true", "'x'", "'NaN'"])
def test_numbers_that_are_no_amounts_are_refused(written, key, value):
    """NaN, infinities, exponents, signs and booleans never become a price."""
    section, name = key.split(".")

    found = problems(written(f"[{section}]\n{name} = {value}"))

    assert key in found[0]


@pytest.mark.parametrize("name", ["credits_per_usd", "markup"])
@pytest.mark.parametrize("value", ["0", "0.00", "1e-30", "10000000000", "'1e3'"])
def test_a_rate_is_above_zero_and_bounded(written, name, value):
    """A rate of zero would give everything away."""
    assert f"credits.{name}" in problems(written(f"[credits]\n{name} = {value}"))[0]


@pytest.mark.parametrize("port", ["-1", "65536", "true", "80.5", '"eighty"'])
def test_ports_are_ports(written, port):
    """0 to 65535, whole."""
    assert "server.port" in problems(written(f"[server]\nport = {port}"))[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/v1",
        "http://localhost:8080",
        "http://[::1]:8080/v1",
        "http://127.0.0.2:8080/v1",
        "https://gateway.example/v1",
    ],
)
def test_upstream_that_is_the_gateway_itself_is_refused(url):
    """A loop would bill nobody and never end."""
    found = problems(OPENAI_BASE_URL=url, GATEWAY__SERVER__ALLOWED_HOSTS='["gateway.example"]')

    assert found[0].startswith("OPENAI_BASE_URL → points at the gateway itself")


def test_upstream_on_another_port_of_this_host_is_fine():
    """A stub beside the gateway is how tests run."""
    url = "http://127.0.0.1:9090/v1"

    assert Settings.load(None, {"OPENAI_BASE_URL": url + "/"}).openai.base_url == url


@pytest.mark.parametrize(
    "url", ["api.openai.com", "ftp://x", "https://", "https://u:hunter2@x/v1", "https://x?a=1", ""]
)
def test_upstream_that_is_no_plain_url_is_refused(url):
    """And a password in it is not repeated."""
    found = problems(GATEWAY__OPENAI__BASE_URL=url)

    assert "GATEWAY__OPENAI__BASE_URL" in found[0]
    assert "hunter2" not in found[0]


@pytest.mark.parametrize(
    "url",
    ["redis://h:6379/0", "rediss://h", "unix:///run/redis.sock", "cluster://a:1,b:2",
     "clusters://a", "sentinel://a,b/ledger", "sentinels://a/ledger", "embedded"],
)  # fmt: skip
def test_redis_urls_that_are_served(url):
    """One server, a Cluster, Sentinels; with TLS where an s stands at the end."""
    settings = Settings.load(None, {"GATEWAY__REDIS__URL": url})

    assert settings.redis.url is not None
    assert settings.redis.url.get_secret_value() == url
    assert settings.redis.embedded == (url == "embedded")


@pytest.mark.parametrize("url", ["http://h", "redis://", "unix://", "", "memory", "cluster://"])
def test_redis_urls_that_are_not(url):
    """The kinds are named."""
    assert "redis.url" in problems(GATEWAY__REDIS__URL=url)[0].lower().replace("__", ".")


@pytest.mark.parametrize(
    "url",
    ["sqlite:///x", "postgresql://h/x", "mysql://h/x", "sqlite+aiosqlite://", "x",
     "sqlite+aiosqlite:///:memory:"],
)  # fmt: skip
def test_sql_urls_that_are_not_served(url):
    """Records kept in memory would be lost at every stop."""
    assert "GATEWAY__SQL__URL" in problems(GATEWAY__SQL__URL=url)[0]


@pytest.mark.parametrize(
    "store",
    [
        {"GATEWAY__REDIS__URL": "embedded"},
        {"GATEWAY__SQL__URL": "sqlite+aiosqlite:////tmp/gateway.db"},
    ],
)
def test_stores_of_one_process_refuse_more_workers(store):
    """An embedded Valkey and SQLite serve one worker."""
    found = problems(**store, GATEWAY__SERVER__WORKERS="2")

    assert found[0].startswith("GATEWAY__SERVER__WORKERS → ")
    assert Settings.load(None, store).server.workers == 1


@pytest.mark.parametrize("text", ["[server", "port = = 1", "\x00", "[a]\n[a]"])
def test_a_file_that_is_no_toml_is_refused(written, text):
    """The line is named."""
    assert "is not TOML" in problems(written(text))[0]


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    """Defaults are not what somebody who names a file wants."""
    assert "there is no such file" in problems(tmp_path / "none.toml")[0]
    assert "cannot be read" in problems(tmp_path)[0]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[features.x]\ncredits = 1\nmultiplier = 2", "either credits"),
        ("[features.x]\nmax_n = 1", "either credits"),
        ('[features."two words"]\ncredits = 1', "features.two words"),
        ("[models.x]\ncredits_per_usd = 1\nmultiplier = 2", "not both"),
        ("[models.x]\nalowed = true", "did you mean allowed?"),
        ('[[packages]]\nname = "S"\nprice = 30.001\ncredits = 1', "2 decimals"),
        ('[[packages]]\nname = "S"\nprice = 30\ncurrency = "XXX"\ncredits = 1', "not a currency"),
        ('[[packages]]\nname = "S"\nprice = 0\ncredits = 1', "greater than 0"),
        ("[admin]\nhost = '127.0.0.1'", "needs both"),
        ("[admin]\nport = 8080", "leave it out"),
        ("[alerts]\nsmtp_host = 'h'", "smtp_sender"),
        ("[alerts]\nwebhook_secret = 'a-secret-of-thirty-two-characters!'", "whsec_"),
        ("[alerts]\nwebhook_secret = 'whsec_c2hvcnQ='", "24 to 64 bytes"),
        ("[alerts]\nexpiring_soon_days = [0]", "expiring_soon_days"),
        ("[credits]\nmin_output_tokens = 20000", "more than"),
        ("[credits]\nout_of_credits_status = 500", "402 or 429"),
        ("[redis]\ndurability = 'never'", "aof_always"),
        ("[server]\ntrusted_proxies = ['x']", "trusted_proxies"),
    ],
)
def test_values_that_contradict_are_refused(written, table, said):
    """What cannot be meant is not guessed."""
    assert any(said in problem for problem in problems(written(table)))


def test_settings_are_frozen():
    """Nobody changes a price while calls run."""
    settings = Settings.load(None, {})

    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("GATEWAY__REDIS__DURABILITY", "waitaof", "waitaof is not there"),
    ],
)
def test_what_this_version_does_not_do_is_refused(key, value, says):
    """An operator must not believe in a setting that nothing reads."""
    with pytest.raises(SettingsWrong, match=says):
        Settings.load(None, {key: value})


def test_limits_are_numbers_that_the_ledger_can_count():
    """Without a number nothing is limited; none and more than the scripts count are refused."""
    given = {"GATEWAY__LIMITS__CONCURRENT": "5", "GATEWAY__LIMITS__TOKENS_PER_MINUTE": "1000000000"}

    limits = Settings.load(None, given).limits

    assert (limits.requests_per_minute, limits.tokens_per_minute) == (None, 10**9)
    assert limits.concurrent == 5
    for key, value in (("CONCURRENT", "0"), ("REQUESTS_PER_MINUTE", "1000000001")):
        with pytest.raises(SettingsWrong, match=f"LIMITS__{key} → .* than or equal to"):
            Settings.load(None, {f"GATEWAY__LIMITS__{key}": value})


def test_what_nothing_reads_yet_is_named():
    """The gateway says so at its start."""
    settings = Settings.load(None, {"GATEWAY__OPENAI__ADMIN_KEY": "sk-admin-0123456789abcdef"})

    assert unused(settings) == ["openai.admin_key"]
    assert unused(Settings.load(None, {})) == []
