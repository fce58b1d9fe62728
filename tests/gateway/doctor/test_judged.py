"""What is found is judged: as it must be, worth a look, or wrong and with what helps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.doctor.ledger_checks import clocks_judged, partitions_judged
from gateway.doctor.price_checks import prices_judged
from gateway.doctor.redis_checks import Said, judged
from gateway.doctor.settings_checks import admin_token_judged, room_judged
from gateway.doctor.upstream_checks import key_judged
from metering.rates import RateCard
from storage.partition_rows import PartitionRow

INFO = {"redis_version": "7.0.15", "maxmemory_policy": "noeviction", "aof_enabled": 1}
CONFIG = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def verdicts(info: Said | None, config: Said | None, durability: str = "aof_always") -> Any:
    return {each.check: each.verdict for each in judged(info, config, durability=durability)}


def test_a_redis_that_keeps_money_is_fine():
    """Nothing to do."""
    assert set(verdicts(INFO, CONFIG).values()) == {"ok"}


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ({"redis_version": "7.0.15"}, "ok"),
        ({"redis_version": "8.2.1"}, "ok"),
        ({"redis_version": "6.2.14"}, "wrong"),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, "ok"),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.5"}, "ok"),
        ({"redis_version": "7.2.4", "valkey_version": "7.1.0"}, "wrong"),
        ({}, "unsure"),
    ],
)
def test_versions(version, verdict):
    """Redis from 7.0 on, Valkey from 7.2 on; a Valkey also says that it is some Redis."""
    assert verdicts(version, CONFIG)["redis.version"] == verdict


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "redis.eviction"),
        ({"appendonly": "no"}, "redis.aof"),
        ({"appendfsync": "everysec"}, "redis.fsync"),
        ({"appendfsync": "no"}, "redis.fsync"),
    ],
)
def test_a_redis_that_may_forget_is_wrong(change, check):
    """Each for itself, with the command that helps."""
    found = {each.check: each for each in judged(INFO, CONFIG | change, durability="aof_always")}

    assert [name for name, each in found.items() if each.verdict == "wrong"] == [check]
    assert "CONFIG SET" in found[check].fix


def test_durability_is_what_the_settings_say():
    """everysec is enough where it was asked for; more than that is, too."""
    everysec = CONFIG | {"appendfsync": "everysec"}

    assert verdicts(INFO, everysec, "aof_everysec")["redis.fsync"] == "ok"
    assert verdicts(INFO, CONFIG, "aof_everysec")["redis.fsync"] == "ok"
    assert verdicts(INFO, everysec, "waitaof")["redis.fsync"] == "ok"


def test_what_may_not_be_asked_cannot_be_told():
    """INFO tells some of what CONFIG may not; without either nothing is called wrong."""
    without_config = verdicts(INFO, None)
    without_both = verdicts(None, None)

    assert without_config["redis.eviction"] == without_config["redis.aof"] == "ok"
    assert without_config["redis.fsync"] == "unsure"
    assert set(without_both.values()) == {"unsure"}


def test_an_append_only_file_that_cannot_be_written_is_wrong():
    """Redis says so before anybody else notices."""
    assert verdicts(INFO | {"aof_last_write_status": "err"}, CONFIG)["redis.aof_write"] == "wrong"


@pytest.mark.parametrize(
    ("ahead_s", "verdict"),
    [
        ({"Redis": 0.0}, "ok"),
        ({"Redis": 1.9}, "ok"),
        ({"Redis": -2.1}, "wrong"),
        ({"Redis": 1.5, "SQL": -1.5}, "wrong"),
    ],
)
def test_clocks(ahead_s, verdict):
    """Two seconds between any two of them are too many."""
    assert clocks_judged(ahead_s).verdict == verdict


ROW = PartitionRow(3, 2, 40, None)


@pytest.mark.parametrize(
    ("row", "meta", "said"),
    [
        (ROW, ("2", "40", ""), None),
        (ROW, ("2", "41", None), None),
        (ROW, ("2", "39", None), "counter 39"),
        (ROW, ("1", "40", None), "epoch 1"),
        (ROW, (None, None, None), "lost"),
        (PartitionRow(3, 1, 0, None), (None, None, None), None),
        (ROW, ("2", "40", "flushed"), "frozen: flushed"),
        (PartitionRow(3, 2, 40, "rolled back"), ("2", "40", ""), "frozen: rolled back"),
    ],
)
def test_partitions(row, meta, said):
    """Frozen, lost, of another epoch, or behind: the partition is named."""
    [finding] = partitions_judged([row], [meta])

    assert finding.verdict == ("wrong" if said else "ok")
    assert said is None or (said in finding.said and "partition 3" in finding.said)


def test_stores_that_no_gateway_has_used_are_fine():
    """There are no partitions yet."""
    assert [each.verdict for each in partitions_judged([], [])] == ["ok"]


def test_models_without_a_price_are_named():
    """Those that were called, and those that the settings name; not those they refuse."""
    now = datetime.now(UTC)
    found = prices_judged(
        RateCard.load(), {"gpt-5.4-mini": 3, "gpt-unknown": 7, "": 2, "gpt-refused": 1},
        named=["gpt-4.1", "gpt-misspelt"], refused=["gpt-refused"], now=now,
    )  # fmt: skip

    assert [(each.verdict, each.said.split(" ")[0]) for each in found] == [
        ("wrong", "gpt-misspelt"),
        ("wrong", "gpt-unknown"),
    ]
    assert "7 calls" in found[1].said
    [fine] = prices_judged(RateCard.load(), {"gpt-4.1": 1}, named=[], refused=[], now=now)
    assert fine.verdict == "ok"


@pytest.mark.parametrize(
    ("token", "is_digest", "verdict"),
    [
        (None, False, "unsure"),
        ("a" * 64, True, "ok"),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", False, "wrong"),
        ("4f1c9a7de03b52866f1c9a7de03b5286", False, "ok"),
    ],
)
def test_admin_tokens(token, is_digest, verdict):
    """One that repeats itself can be guessed."""
    finding = admin_token_judged(token, is_digest=is_digest)

    assert finding.verdict == verdict
    assert token is None or token not in finding.said + finding.fix


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, "ok"), (401, "wrong"), (403, "wrong"), (429, "unsure"), (500, "unsure")],
)
def test_answers_about_the_key(status, verdict):
    """A refusal is wrong; an OpenAI in trouble says nothing of the key."""
    assert key_judged("api.openai.com", status).verdict == verdict


@pytest.mark.parametrize(
    ("free", "verdict"), [(2**20, "wrong"), (2**30, "unsure"), (2**33, "ok")]
)  # fmt: skip
def test_room(free, verdict):
    """A full disk stops every settle."""
    assert room_judged("/data", free).verdict == verdict
