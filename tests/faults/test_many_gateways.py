"""Several gateways with several workers on one Redis and one PostgreSQL: one set of books."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from gateway.background.recorder import Recorder
from storage import keys, redis_keys
from storage import leases as leases_module
from storage.outbox import Entry
from storage.recording import Recorded
from tests.engine import Engine
from tests.faults.load import Load
from tests.faults.processes import Process
from tests.faults.site import Site, open_site
from tests.faults.test_killed_gateway import everything_adds_up
from tests.house import ADMIN_TOKEN, MODEL, House, open_house
from tests.laws.conftest import SETTINGS

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

SEED = 20261122
CALLS = 250  # Of each gateway.
REVOKED_WITHIN_S = 5.0
IN_A_ROW = 20  # New connections, so that each worker has been asked.


@pytest.fixture
async def site(
    durable_valkey: Engine, postgres_records_url: str, folder: Path
) -> AsyncIterator[Site]:
    """A site whose gateways have two workers each."""
    more = {"server__workers": "2", "admin__token": ADMIN_TOKEN, "holds__lease_s": "20"}
    async with open_site(
        folder, durable_valkey, postgres_records_url, **(SETTINGS | more)
    ) as opened:
        yield opened


async def statuses(url: str, key: str, count: int) -> list[int]:
    """What so many calls are answered, each on a connection of its own."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"Authorization": f"Bearer {key}", "Connection": "close"}
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        return [
            (await client.post("/v1/chat/completions", json=body, headers=headers)).status_code
            for _ in range(count)
        ]


async def test_two_gateways_of_two_workers_keep_one_set_of_books(site: Site) -> None:
    """500 calls on four processes, a key revoked on one and refused by all; exact in the end."""
    key = await site.opens_business()
    async with site.database.write() as connection:
        leaked, secret = await keys.issue(
            connection, business=site.business, name="leaked", scopes=keys.Scopes(),
            at=datetime.now(UTC),
        )  # fmt: skip
    gateways = (site.gateway, site.another)
    await asyncio.gather(*(gateway.starts() for gateway in gateways))
    loads = [Load(gateway, key, seed=SEED + n) for n, gateway in enumerate(gateways)]
    calling = [asyncio.create_task(load.makes(CALLS, at_once=20)) for load in loads]
    known = [await statuses(gateway.url, secret, IN_A_ROW) for gateway in gateways]
    await site.billed(CALLS // 2)

    await site.tops_up("10")
    async with httpx2.AsyncClient(base_url=site.gateway.url) as admin:
        authorised = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        revoked = await admin.delete(f"/admin/keys/{leaked.id}", headers=authorised)
    async with asyncio.timeout(REVOKED_WITHIN_S):
        for gateway in gateways:
            while set(await statuses(gateway.url, secret, IN_A_ROW)) != {401}:
                pass
    await asyncio.gather(*calling)
    await site.quiet()
    exits = await asyncio.gather(*(gateway.is_stopped() for gateway in gateways))

    assert known == [[200] * IN_A_ROW] * 2
    assert revoked.is_success, revoked.text
    assert [load.told for load in loads] == [Counter({"200": CALLS})] * 2
    assert exits == [0, 0], site.gateway.last_words
    seen = await site.obeys_the_laws()
    assert {row.outcome for row in seen.transactions} == {"settled"}
    assert len(seen.transactions) == len(site.bills) >= 2 * CALLS + 2 * IN_A_ROW
    everything_adds_up(site, seen)


async def test_a_recorder_of_its_own_does_what_the_workers_leave(site: Site, folder: Path) -> None:
    """Without it rows wait in the outbox; it empties that when told to stop, and exits 0."""
    site.environ["GATEWAY__RECORDER__IN_WORKERS"] = "false"
    load = Load(site.gateway, await site.opens_business(), seed=SEED)
    await site.gateway.starts()
    await load.makes(20, at_once=10)
    outboxes = [redis_keys.outbox(p) for p in range(redis_keys.PARTITIONS)]
    assert sum([await site.redis.xlen(outbox) for outbox in outboxes]) == 20

    environ = {k: v for k, v in site.environ.items() if "OPENAI" not in k}
    recorder = Process("gateway", "recorder", environ=environ, log=folder / "recorder.log")
    try:
        await site.tops_up("10")
        await site.quiet()
        await load.makes(20, at_once=10)
        assert await recorder.terminated() == 0, recorder.log.read_text()
    finally:
        recorder.kill()

    assert '"recording"' in recorder.log.read_text()
    assert await site.gateway.is_stopped() == 0
    seen = await site.obeys_the_laws()
    assert len(seen.transactions) == 40
    everything_adds_up(site, seen)


class Counted:
    """How many SQL batches a recorder writes."""

    def __init__(self, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches = 0
        record = recorder._in_one_transaction

        async def counted(entries: Sequence[Entry]) -> Recorded:
            self.batches += 1
            return await record(entries)

        monkeypatch.setattr(recorder, "_in_one_transaction", counted)


async def recorded(house: House, calls: int) -> None:
    """Wait until so many calls are in SQL; nobody here puts them there."""
    async with asyncio.timeout(20):
        while await house.scalar("SELECT count(*) FROM ai_transactions") < calls:
            await asyncio.sleep(0.01)


async def test_what_one_gateway_records_the_other_leaves_until_that_one_dies(
    durable_valkey: Engine, postgres_records_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch is written once; a holder that gives nothing back is followed after its lease."""
    # Both are in this process, and the start of one keeps the other waiting.
    monkeypatch.setattr(leases_module, "LEASE_S", 3.0)
    monkeypatch.setattr(leases_module, "RENEWED_EVERY_S", 0.1)
    engines = {"redis_url": durable_valkey.url, "records_url": postgres_records_url}
    async with AsyncExitStack() as living, AsyncExitStack() as dying:
        first = await dying.enter_async_context(open_house(**engines, **SETTINGS))
        second = await living.enter_async_context(open_house(**engines, **SETTINGS))
        by_first = Counted(first.parts.loops.recorder, monkeypatch)
        by_second = Counted(second.parts.loops.recorder, monkeypatch)
        acme = await second.business()
        for n in range(1, 6):
            assert (await second.chat(acme)).status_code == 200
            await recorded(second, n)
        done = (by_first.batches, by_second.batches)

        # It dies: nothing is emptied, nothing is given back.
        monkeypatch.setattr("gateway.app.RECORDED_WITHIN_S", -1.0)
        monkeypatch.setattr(first.parts.ledger.leases, "_wanted", ())
        await dying.aclose()
        assert (await second.chat(acme)).status_code == 200
        await recorded(second, 6)

    assert done[0] >= 5
    assert done[1] == 0
    assert by_second.batches >= 1
