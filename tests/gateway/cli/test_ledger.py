"""`gateway ledger verify`: silent while all is well, also under load; and clear when it is not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.cli.commands import run
from metering.money import Credits
from storage import purchases, redis_keys
from storage.errors import LedgerUnavailable
from tests.gateway.cli.conftest import Command, Ran
from tests.house import Acme, House, open_house
from tests.laws.laws import check_laws

pytestmark = pytest.mark.anyio

CALLS = 300
UNKNOWN = "0198a1b2-0000-7000-8000-000000000000"


@pytest.fixture
async def busy(
    redis_url: str, records_url: str, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """A house that runs, on each pair of engines; the command finds it in the environment."""
    monkeypatch.setenv("GATEWAY__REDIS__URL", redis_url)
    monkeypatch.setenv("GATEWAY__SQL__URL", records_url)
    async with open_house(redis_url=redis_url, records_url=records_url) as house:
        yield house


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]):
    """Runs the command beside the house, on a thread with a loop of its own."""

    async def ran(*arguments: str) -> Ran:
        code = await asyncio.to_thread(run, ["ledger", "verify", *arguments])
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return ran


async def one_call(house: House, acme: Acme, n: int) -> None:
    content = f'[[stub {{"latency_ms": {n % 40}, "chunks": {n % 9 + 1}}}]] Hello'
    said = [{"role": "user", "content": content}]
    reply = await house.chat(acme, messages=said, stream=n % 2 == 0, max_completion_tokens=500)
    # 503: on a machine as busy as this Redis may take a second; that is no difference either.
    assert reply.status_code in (200, 503)


async def money_in_and_out(house: House, acme: Acme) -> None:
    """Top-ups and take-backs, as admins make them; what is in doubt its loop asks for again."""
    for n in range(10):
        at = datetime.now(UTC)
        async with house.database.write() as connection:
            await purchases.top_up(
                connection, business=acme.id, credits=Credits(1_500_000 + n), at=at
            )
            await purchases.adjust(
                connection, business=acme.id, credits=-Credits(1_000_000 + n), reason="r",
                user="admin", at=at,
            )  # fmt: skip
        with suppress(LedgerUnavailable):
            await house.parts.loops.crediting.apply(acme.id)


async def load(house: House, some: list[Acme], enough: asyncio.Event) -> int:
    """Hundreds of calls at once, again and again until it is enough; how many were made."""
    made = 0
    while not enough.is_set():
        calls = [one_call(house, some[n % len(some)], n) for n in range(CALLS)]
        await asyncio.gather(*calls, *(money_in_and_out(house, acme) for acme in some))
        made += CALLS
    return made


async def test_no_false_alarm_under_load(busy: House, verify) -> None:
    """Hundreds of calls at once, credits in and out, the recorder at work: always 0 differences."""
    some = [await busy.business("1000.00", name=f"Shop {n}") for n in range(5)]
    enough = asyncio.Event()
    running = asyncio.create_task(load(busy, some, enough))

    runs = [await verify("--json") for _ in range(4)]
    enough.set()
    made = await running

    assert [ran.out + ran.err for ran in runs if ran.code] == []
    assert all(ran.document["businesses"] == 5 for ran in runs)
    assert made >= CALLS
    await busy.quiet()
    await check_laws(busy)
    assert (await verify()).out.endswith(": 0 differences\n")


async def test_one_micro_credit_exits_6(busy: House, verify) -> None:
    """The business, the law, the figures and the difference are told; other runs still work."""
    acme = await busy.business("50.00")
    other = await busy.business("50.00")
    for business in (acme, other):
        await one_call(busy, business, 0)
    key = redis_keys.account(redis_keys.partition_of(acme.id), acme.id)
    await busy.parts.stores.redis.hincrby(key, "total", 1)

    told = await verify()
    documents = (await verify("--json")).documents

    assert told.code == 6
    assert f"✗ business {acme.id} · L2 conservation: Redis has " in told.out
    assert "difference: 0.000001" in told.out
    assert told.out.endswith(": 1 violation of the laws by 1 of them\n")
    violation, summary = documents
    assert (violation["business"], violation["law"]) == (acme.id, "L2")
    assert violation["difference"] == "0.000001"
    assert summary | {"seconds": 0, "last": ""} == {
        "businesses": 2, "wrong": 1, "violations": 1, "dead_letters": 0,
        "frozen_partitions": [], "complete": True, "last": "", "seconds": 0,
    }  # fmt: skip
    assert (await verify("--business", other.id)).code == 0
    assert (await verify("--business", acme.id.upper())).code == 6
    assert (await verify("--after", acme.id)).code == 0


def test_what_cannot_be_proved_is_no_difference(command: Command, records_url, monkeypatch):
    """An unknown business, settings without Redis, a Redis that is away: each has its code."""
    monkeypatch.setenv("GATEWAY__SQL__URL", "postgresql+asyncpg://u@127.0.0.1:1/x")
    assert command("ledger", "verify").code == 5

    monkeypatch.setenv("GATEWAY__SQL__URL", records_url)
    monkeypatch.setenv("GATEWAY__REDIS__URL", "redis://127.0.0.1:1/0")
    empty = command("ledger", "verify")
    command("business", "add", "A", "--email", "a@b")
    away = command("ledger", "verify")

    assert empty.code == away.code == 4
    assert "Redis did not answer" in away.err
    assert command("ledger", "verify", "--business", UNKNOWN).code == 3
    assert command("ledger", "verify", "--business", UNKNOWN, "--after", UNKNOWN).code == 2


def test_an_embedded_store_that_does_not_run_is_named(
    command: Command, nowhere: Path, sqlite_template: Path
):
    """It lives as long as its gateway."""
    (nowhere / "dev").mkdir()
    (nowhere / "dev" / "gateway.db").write_bytes(sqlite_template.read_bytes())

    ended = command("ledger", "verify", "--data-dir", "dev")

    assert ended.code == 4
    assert "does not run" in ended.err
    assert "start that" in ended.err


HANGING = """
import asyncio, signal, sys
# Whoever is started in the background of a shell is deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
from gateway.cli.commands import run
from storage.proving import Prover
async def hang(self, ids):
    print("looking", flush=True)
    await asyncio.Event().wait()
Prover.some = hang
sys.exit(run(["ledger", "verify"]))
"""


def test_ctrl_c_ends_it_and_says_how_far_it_came(redis_url: str, sqlite_records_url: str, command,
                                                 nowhere: Path, monkeypatch):  # fmt: skip
    """It exits 130, and says what was found until then; nothing was changed, so nothing is left."""
    monkeypatch.setenv("GATEWAY__SQL__URL", sqlite_records_url)
    command("business", "add", "A", "--email", "a@b")
    env = {
        **os.environ,
        "GATEWAY__REDIS__URL": redis_url,
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING], env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "looking\n"

    process.send_signal(signal.SIGINT)
    try:
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()

    assert process.returncode == 130
    assert "0 businesses in" in said
    assert "stopped before the end" in said
