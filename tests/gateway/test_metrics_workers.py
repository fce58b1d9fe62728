"""Several workers are one gateway to whoever asks any of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx2
import pytest

from gateway.dev.stub_openai import StubOpenAI
from gateway.metrics import Metrics
from tests.faults.processes import Process, free_port
from tests.gateway.scraped import Scraped, scraped_from
from tests.gateway.test_server import a_key, call
from tests.house import ADMIN_TOKEN, OUR_KEY

pytestmark = pytest.mark.anyio


async def said_by(metrics: Metrics) -> Scraped:
    return Scraped((await metrics.text()).decode())


async def test_two_workers_sum_up(tmp_path: Path):
    """Counters, buckets and gauges; what only one has seen is there as well."""
    one, two = Metrics(tmp_path), Metrics(tmp_path)
    for metrics, opened in ((one, 3), (two, 4)):
        metrics.watch(gateway_open_calls=partial(int, opened))
        metrics.tally.add("gateway_dead_letters_total", count=opened)
        metrics.tally.redis_answered(2, 0.0007)
    two.tally.refused("overloaded")
    two.write()

    seen = await said_by(one)

    assert (seen.of("workers"), seen.of("open_calls")) == (2, 7)
    assert seen.of("dead_letters_total") == 7
    assert seen.by("refusals_total", "code") == {"overloaded": 1}
    assert seen.of("redis_scripts_total") == 4
    assert seen.of("redis_batch_seconds_bucket", le="0.0005") == 0
    assert seen.of("redis_batch_seconds_bucket", le="0.001") == 2
    assert seen.of("redis_batch_seconds_bucket", le="+Inf") == 2
    assert seen.of("redis_batch_seconds_count") == 2
    assert seen.of("redis_batch_seconds_sum") == pytest.approx(0.0014)


async def test_the_outbox_is_not_counted_twice(tmp_path: Path):
    """All workers look at the same one; who looked last is right."""
    one, two = Metrics(tmp_path), Metrics(tmp_path)
    one.watch(gateway_outbox_entries=lambda: 5, gateway_frozen_partitions=lambda: 1)
    two.watch(gateway_outbox_entries=lambda: 6, gateway_frozen_partitions=lambda: 0)
    one.write()
    two.write()
    one.write()

    seen = Scraped(two._shared.text().decode())  # type: ignore[union-attr]

    assert seen.of("outbox_entries") == 5
    assert seen.of("frozen_partitions") == 1


async def test_what_a_worker_that_ended_was_doing_is_over_and_what_it_did_stays(tmp_path: Path):
    """A counter that falls would be read as a restart of everything."""
    one, two = Metrics(tmp_path), Metrics(tmp_path)
    two.watch(gateway_open_calls=lambda: 4)
    two.tally.partition_frozen()
    two.write()
    before = await said_by(one)

    two.tally.partition_frozen()
    two.close()
    after = await said_by(one)

    assert (before.of("workers"), before.of("open_calls"), before.of("losses_total")) == (2, 4, 1)
    assert after.of("workers") == 1
    assert after.by("open_calls", "open_calls") == {}
    assert after.of("losses_total") == 2


async def test_a_single_process_needs_no_directory():
    """And two gateways in one process share nothing."""
    one, two = Metrics(), Metrics()
    one.tally.partition_frozen()

    assert (await said_by(one)).of("losses_total") == 1
    assert (await said_by(two)).of("losses_total") == 0


@pytest.fixture
async def environ(valkey_url: str, postgres_records_url: str) -> AsyncIterator[dict[str, str]]:
    """What a gateway of two workers needs around it."""
    async with StubOpenAI.serving(api_key=OUR_KEY) as openai:
        yield {
            "GATEWAY__REDIS__URL": valkey_url,
            "GATEWAY__SQL__URL": postgres_records_url,
            "GATEWAY__OPENAI__BASE_URL": openai.base_url,
            "GATEWAY__OPENAI__API_KEY": OUR_KEY,
            "GATEWAY__ADMIN__TOKEN": ADMIN_TOKEN,
        }


async def test_a_worker_that_is_killed_is_replaced_and_does_not_linger(
    environ: dict[str, str], tmp_path: Path
):
    """Two real processes: what all have done is one number, whoever of them is asked."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ("serve", "--workers", "2", "--port", str(port))
    given = environ | {"TMPDIR": str(folder)}
    gateway = Process("gateway", *arguments, environ=given, log=tmp_path / "gateway.log")
    try:
        await gateway.answers(f"{url}/readyz")
        key = await a_key(url)
        await both_serve(url)
        for _ in range(10):
            await one_call(url, key)
        before = await until(url, calls=10)

        os.kill(workers_of(gateway)[0], signal.SIGKILL)
        while await how_many_live(folder) == 2:
            await asyncio.sleep(0.05)
        await both_serve(url)
        for _ in range(4):
            await one_call(url, key)
        after = await until(url, calls=14)
        code = await gateway.terminated()
    finally:
        gateway.kill()

    assert before.of("workers") == after.of("workers") == 2
    assert after.of("holds_total", result="granted") == 14
    assert code == 0
    assert list(folder.iterdir()) == []


async def how_many_live(folder: Path) -> int:
    """Workers that wrote their numbers lately, as the files say: a new one makes a third."""
    return len(list(folder.glob("*/counter_*.db")))


async def both_serve(url: str) -> None:
    await asked_until(url, lambda seen: seen.of("workers") == 2)


async def until(url: str, *, calls: int) -> Scraped:
    """What it says once everybody has written down what was done."""
    done = "calls_total"
    return await asked_until(url, lambda seen: sum(seen.by(done, "status").values()) >= calls)


async def asked_until(url: str, is_so) -> Scraped:
    """Ask until it is so; a restart takes some seconds on a busy machine."""
    async with asyncio.timeout(60):
        while True:
            async with httpx2.AsyncClient(base_url=url) as client:
                seen = await scraped_from(client, "/metrics")
            if is_so(seen):
                return seen
            await asyncio.sleep(0.05)


async def one_call(url: str, key: str) -> None:
    """On a connection of its own, so that any worker may get it."""
    async with httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}) as app:
        assert (await app.post("/v1/chat/completions", json=call())).status_code == 200


def workers_of(gateway: Process) -> list[int]:
    """The process ids of a gateway's workers."""
    parent = gateway._process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in children if "spawn_main" in _command_of(pid)]


def _command_of(pid: str) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()
