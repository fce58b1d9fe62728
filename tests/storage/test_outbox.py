"""The outbox: read from its start, deleted when SQL has it, never believed blindly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis as Client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from storage import outbox, redis_keys
from storage.errors import LedgerUnavailable
from storage.ids import new_id
from tests.storage.outbox_entries import Redis

pytestmark = pytest.mark.anyio


async def put(client: Client, partition: int, fields: dict[Any, Any]) -> None:
    await client.xadd(redis_keys.outbox(partition), fields)


async def test_entries_come_in_the_order_of_each_stream(redis_client: Client) -> None:
    """At most `count` of each partition, in one round trip."""
    shop = Redis(new_id())
    first, second, third = (shop.charges(each) for each in ("1", "2", "3"))
    for entry in (first, second, third):
        await put(redis_client, 5, {**entry.fields})
    other = Redis(new_id()).expires("4")
    await put(redis_client, 2, {**other.fields})

    entries = await outbox.read(redis_client, range(16), 2)

    assert [entry.fields for entry in entries] == [other.fields, first.fields, second.fields]
    assert [(entry.kind, entry.partition) for entry in entries[:2]] == [
        ("expired", 2),
        ("transaction", 5),
    ]
    read = entries[1]
    assert (read.business, read.seq, read.counter, read.epoch) == (shop.business, 1, 1, 1)
    assert (read.id, read.why) == (first.id, "")


async def test_a_client_that_decodes_reads_the_same(redis_url: str, redis_client: Client) -> None:
    """The gateway's own client answers text."""
    await put(redis_client, 5, {**Redis(new_id()).charges("1").fields})

    async with Client.from_url(redis_url, decode_responses=True) as decoding:
        decoded = await outbox.read(decoding, [5], 10)

    assert decoded == await outbox.read(redis_client, [5], 10)


async def test_what_sql_has_leaves_redis_and_its_answer_gets_an_end(redis_client: Client) -> None:
    """Only those entries, and only their answers."""
    entries = [Redis(new_id()).charges("1") for _ in range(2)]
    for entry in entries:
        await put(redis_client, 5, {**entry.fields})
        await redis_client.set(redis_keys.answer(5, entry.id), "the answer")
    recorded, waiting = await outbox.read(redis_client, [5], 10)

    await outbox.forget(redis_client, [recorded])

    assert await outbox.read(redis_client, [5], 10) == [waiting]
    left_ms = await redis_client.pttl(redis_keys.answer(5, recorded.id))
    assert 0 < left_ms <= outbox.ANSWER_KEPT_MS
    assert await redis_client.pttl(redis_keys.answer(5, waiting.id)) == -1


async def test_forgetting_nothing_asks_nothing(redis_client: Client) -> None:
    """And forgetting twice harms nobody."""
    await put(redis_client, 5, {**Redis(new_id()).charges("1").fields})
    entries = await outbox.read(redis_client, [5], 10)

    await outbox.forget(redis_client, [])
    await outbox.forget(redis_client, entries)
    await outbox.forget(redis_client, entries)

    assert await outbox.read(redis_client, range(16), 10) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"v": "2"}, "version '2'"),
        ({"kind": "gift"}, "kind 'gift'"),
        ({"epoch": "one"}, "one"),
        ({"seq": "1e3"}, "1e3"),
        ({"seq": "-1"}, "out of range"),
        ({"counter": str(10**15)}, "out of range"),
        ({"at_ms": "253402300800000"}, "out of range"),
        ({"business": "acme"}, "hexadecimal"),
        ({"id": ""}, "hexadecimal"),
        ({"balance": None}, "balance"),
    ],
)
async def test_an_entry_that_is_not_understood_is_marked(change: dict[str, Any], why: str) -> None:
    """One bad entry must not keep the others from being read."""
    fields = Redis(new_id()).charges("1").fields | change
    fields = {name: value for name, value in fields.items() if value is not None}

    entry = outbox.entry_of(3, b"1-1", fields)

    assert entry.kind == "unreadable"
    assert why in entry.why
    assert entry.fields == fields


async def test_bytes_that_are_no_text_are_kept_readable() -> None:
    """Whoever looks at the dead letters sees what was there."""
    entry = outbox.entry_of(3, b"1-1", {b"kind": b"\xff\xfe"})

    assert entry.fields == {"kind": "\\xff\\xfe"}
    assert entry.why


async def test_a_redis_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    """In our words, so that the loop knows what to wait for."""
    client = Client(unix_socket_path=str(tmp_path / "no.sock"), retry=Retry(NoBackoff(), 0))

    with pytest.raises(LedgerUnavailable):
        await outbox.read(client, range(16), 10)
    await client.aclose()
