"""`gateway doctor` on real engines: sound ones, wrong ones, and those that may not be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis

from gateway.dev.stub_openai import StubOpenAI
from storage.tables import ai_transactions, ledger_partitions
from tests import engines
from tests.gateway.cli.test_lists import call, store
from tests.house import ADMIN_TOKEN, OUR_KEY


@pytest.fixture(scope="module")
def durable(engines_dir: Path) -> Iterator[str]:
    """A Valkey that keeps what it acknowledges."""
    engine = engines.start_valkey(engines_dir / "durable")
    yield engine.url
    engine.stop()


@pytest.fixture
def on_stores(command, durable, monkeypatch):
    """Settings in the environment, as for `gateway serve`; only the records are not named."""
    with Redis.from_url(durable) as client:
        client.flushall()
    monkeypatch.setenv("GATEWAY__REDIS__URL", durable)
    monkeypatch.setenv("GATEWAY__OPENAI__API_KEY", OUR_KEY)
    monkeypatch.setenv("GATEWAY__ADMIN__TOKEN", ADMIN_TOKEN)
    return command


@pytest.fixture
def installed(on_stores, records_url, monkeypatch):
    """The same with records, on SQLite and on PostgreSQL."""
    monkeypatch.setenv("GATEWAY__SQL__URL", records_url)
    return on_stores


@pytest.fixture
def of_the_tests(records_url) -> list[str]:
    """What is truly wrong with the engines of the tests: their PostgreSQL does not sync."""
    return [] if records_url.startswith("sqlite") else ["sql.durability"]


def crosses(ran) -> list[str]:
    return [check for check, verdict in verdicts(ran).items() if verdict == "wrong"]


def verdicts(ran) -> dict[str, str]:
    return {one["check"]: one["verdict"] for one in ran.documents}


def test_a_sound_installation_has_no_cross(installed, of_the_tests):
    """It exits 0, and says each thing that it looked at; a PostgreSQL without fsync exits 6."""
    ended = installed("doctor", "--offline")
    told = verdicts(documents := installed("doctor", "--offline", "--json"))

    assert crosses(documents) == of_the_tests
    assert ended.code == (6 if of_the_tests else 0)
    assert ("✗ fsync is off" in ended.out) == bool(of_the_tests)
    assert "✓ Valkey 9." in ended.out
    assert "! OpenAI was not asked (--offline)" in ended.out
    assert set(told) >= {
        "settings", "redis", "redis.version", "redis.eviction", "redis.aof", "redis.fsync", "sql",
        "sql.version", "sql.durability", "sql.schema", "clocks", "partitions", "prices", "openai",
        "admin.token",
    }  # fmt: skip


def test_a_redis_that_may_forget_exits_6(installed, valkey_url, monkeypatch):
    """The one of the tests keeps no file; what helps stands under it."""
    monkeypatch.setenv("GATEWAY__REDIS__URL", valkey_url)

    ended = installed("doctor", "--offline")

    assert ended.code == 6
    assert "✗ Redis keeps no append-only file" in ended.out
    assert "CONFIG SET appendonly yes" in ended.out


def test_what_an_acl_denies_is_not_a_crash(installed, durable, of_the_tests, monkeypatch):
    """It cannot be told, and says so; nothing else suffers."""
    with Redis.from_url(durable) as client:
        client.acl_setuser(
            "teller", enabled=True, passwords=["+canary-pass"], keys=["*"], channels=["*"],
            categories=["+@all"], commands=["-config", "-info"],
        )  # fmt: skip
    url = durable.replace("unix://", "unix://teller:canary-pass@")
    monkeypatch.setenv("GATEWAY__REDIS__URL", url)

    ended = installed("doctor", "--offline")
    told = verdicts(documents := installed("doctor", "--offline", "--json"))

    assert crosses(documents) == of_the_tests
    assert "! cannot tell when Redis" in ended.out or "! cannot tell whether Redis" in ended.out
    assert {told[name] for name in ("redis.version", "redis.eviction", "redis.aof")} == {"unsure"}
    assert told["partitions"] == "ok"
    assert "canary" not in ended.out


def test_a_wrong_password_of_redis_is_wrong_and_not_printed(installed, durable, monkeypatch):
    """Neither that nor the URL."""
    url = durable.replace("unix://", "unix://nobody:canary-pass@")
    monkeypatch.setenv("GATEWAY__REDIS__URL", url)

    ended = installed("doctor", "--offline")

    assert ended.code == 6
    assert "✗ Redis" in ended.out
    assert "canary" not in ended.out + ended.err


def test_old_tables_name_the_upgrade(on_stores, database_url, monkeypatch):
    """The rest is looked at all the same."""
    monkeypatch.setenv("GATEWAY__SQL__URL", database_url)

    ended = on_stores("doctor", "--offline")

    assert ended.code == 6
    assert "\n    gateway db upgrade\n" in ended.out
    assert "✓ Redis answers" in ended.out


@pytest.mark.parametrize("away", ["GATEWAY__SQL__URL", "GATEWAY__REDIS__URL"])
def test_a_store_that_is_away_is_one_cross(on_stores, sqlite_records_url, away, monkeypatch):
    """And the other one is looked at."""
    urls = {"GATEWAY__SQL__URL": "postgresql+asyncpg://u:canary@127.0.0.1:1/n",
            "GATEWAY__REDIS__URL": "redis://u:canary@127.0.0.1:1/0"}  # fmt: skip
    monkeypatch.setenv("GATEWAY__SQL__URL", sqlite_records_url)
    monkeypatch.setenv(away, urls[away])

    ended = on_stores("doctor", "--offline", "--json")

    assert ended.code == 6
    assert crosses(ended) == [{"GATEWAY__SQL__URL": "sql", "GATEWAY__REDIS__URL": "redis"}[away]]
    assert "canary" not in ended.out


def test_a_database_that_is_not_there_is_one_cross(on_stores, postgres_url, nowhere, monkeypatch):
    """What does not let us in is not away; and a file is not made by looking."""
    elsewhere = {
        postgres_url.replace("?", "_of_nobody?", 1): "SQL does not let us in: ",
        f"sqlite+aiosqlite:///{nowhere}/none.db": f"there is no file {nowhere}/none.db",
    }
    for url, said in elsewhere.items():
        monkeypatch.setenv("GATEWAY__SQL__URL", url)

        ended = on_stores("doctor", "--offline")

        assert ended.code == 6
        assert f"✗ {said}" in ended.out
        assert "✓ Redis answers" in ended.out
    assert not (nowhere / "none.db").exists()


def test_a_frozen_partition_and_a_model_without_price_are_told(installed, acme, records_url):
    """Both stop calls."""
    row = call(acme, 1) | {"model": "gpt-unknown", "timestamp": datetime.now(UTC)}
    store(records_url, ai_transactions, [row])
    frozen = {"partition": 7, "epoch": 1, "highest_counter": 0, "frozen_reason": "a test"}
    store(records_url, ledger_partitions, [frozen])

    ended = installed("doctor", "--offline")

    assert ended.code == 6
    assert "✗ partition 7: frozen: a test" in ended.out
    assert "✗ gpt-unknown has no price: 1 call in 30 days" in ended.out


def test_the_openai_key_is_tried_and_never_printed(on_stores, sqlite_records_url, monkeypatch):
    """A list of models costs nothing; a key that is refused is wrong."""
    monkeypatch.setenv("GATEWAY__SQL__URL", sqlite_records_url)

    async def asked(key: str) -> tuple[int, str]:
        async with StubOpenAI.serving(api_key=OUR_KEY) as openai:
            monkeypatch.setenv("GATEWAY__OPENAI__BASE_URL", openai.base_url)
            monkeypatch.setenv("GATEWAY__OPENAI__API_KEY", key)
            ended = await asyncio.to_thread(on_stores, "doctor")
            return ended.code, ended.out + ended.err

    fine, said = asyncio.run(asked(OUR_KEY))
    refused, said_of_refused = asyncio.run(asked("sk-canary-wrong"))

    assert (fine, refused) == (0, 6)
    assert "✓ 127.0.0.1 takes our key" in said
    assert "✗ 127.0.0.1 refuses our key (401)" in said_of_refused
    assert OUR_KEY not in said
    assert "canary" not in said_of_refused


def test_settings_that_are_wrong_are_told_line_by_line(command, nowhere):
    """Before anything is asked."""
    (nowhere / "config.toml").write_text('[server]\nport = "abc"\nprot = 1')

    ended = command("doctor")

    assert ended.code == 6
    assert ended.out.count("✗ config.toml: server.") == 2


def test_the_data_directory_of_dev_needs_no_key(command, nowhere, sqlite_template):
    """Its stub answers, and its Valkey lives as long as its gateway."""
    (nowhere / "dev").mkdir()
    (nowhere / "dev" / "gateway.db").write_bytes(sqlite_template.read_bytes())

    ended = command("doctor", "--data-dir", "dev")

    assert ended.code == 0, ended.out
    assert "does not run" in ended.out
    assert "answers from its stub" in ended.out
    assert "GiB are free" in ended.out
