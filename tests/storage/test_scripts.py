"""How a script call reaches Redis: in one piece, timed, loaded when missing, never guessed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from storage import redis_keys
from storage.errors import IN_DOUBT, LedgerUnavailable
from storage.scripts import Scripts, connect
from tests.engines import start_valkey
from tests.storage.redis_door import RedisDoor

pytestmark = pytest.mark.anyio

META = redis_keys.meta(0)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def scripts(redis: Redis) -> AsyncIterator[Scripts]:
    made = Scripts(redis)
    yield made
    await made.close()


async def _begin(scripts: Scripts, partition: int = 0) -> list[object]:
    return await scripts.call("begin", [redis_keys.meta(partition)], ["1", "0"])


async def test_a_script_that_redis_does_not_know_is_sent_with_its_text(
    scripts: Scripts, redis: Redis
) -> None:
    """After a start, a flush or a failover; the next call goes by its digest again."""
    assert await _begin(scripts) == ["OK", 0]
    await redis.script_flush()

    assert await _begin(scripts) == ["EXISTS", 0]
    info = await redis.info("commandstats")
    assert info["cmdstat_eval"]["calls"] == 2


async def test_calls_of_one_turn_leave_together_and_come_back_in_order(
    scripts: Scripts, redis: Redis
) -> None:
    """Each gets its own answer, however many there are."""
    answers = await asyncio.gather(*(_begin(scripts, i % 16) for i in range(600)))

    assert [answer[0] for answer in answers[:16]] == ["OK"] * 16
    assert {str(answer[0]) for answer in answers[16:]} == {"EXISTS"}


async def test_a_caller_that_is_cancelled_does_not_shift_the_answers_of_others(
    scripts: Scripts,
) -> None:
    """What Redis answers it is dropped."""
    await _begin(scripts)
    calls = [asyncio.ensure_future(_begin(scripts)) for _ in range(20)]
    await asyncio.sleep(0)
    calls[3].cancel()

    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert isinstance(answers[3], asyncio.CancelledError)
    assert [answer for i, answer in enumerate(answers) if i != 3] == [["EXISTS", 0]] * 19


async def test_what_redis_refuses_is_refused_and_not_in_doubt(
    scripts: Scripts, redis: Redis
) -> None:
    """Out of memory: nothing was changed."""
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(LedgerUnavailable) as refused:
            await _begin(scripts)
    finally:
        await redis.config_set("maxmemory", "0")

    assert refused.value.reason == "refused"


async def test_a_call_whose_connection_was_lost_is_sent_once_more(redis_url: str) -> None:
    """It ran the first time too, and is known by its id: the second answer says so."""
    async with RedisDoor.to(redis_url) as door:
        redis = connect(f"redis://localhost:{door.port}")
        scripts = Scripts(redis)
        await _begin(scripts)
        door.cuts = 1

        assert await _begin(scripts) == ["EXISTS", 0]
        assert len([piece for piece in door.asked if b"EVALSHA" in piece]) == 3
        assert scripts.steady_since(0) is not None
        await scripts.close()
        await redis.aclose()


async def test_a_call_that_was_lost_twice_is_in_doubt(redis_url: str) -> None:
    """So is one that was lost, after which nobody was there any more."""
    async with RedisDoor.to(redis_url) as door:
        redis = connect(f"redis://localhost:{door.port}")
        scripts = Scripts(redis)
        await _begin(scripts)

        door.cuts = 2
        with pytest.raises(LedgerUnavailable) as twice:
            await _begin(scripts)
        assert twice.value.reason == IN_DOUBT
        assert scripts.steady_since(0) is None

        await _begin(scripts)
        door.cuts = 1
        door.shut()
        with pytest.raises(LedgerUnavailable) as alone:
            await _begin(scripts)
        assert alone.value.reason == IN_DOUBT

        with pytest.raises(LedgerUnavailable) as unsent:
            await _begin(scripts)
        assert unsent.value.reason != IN_DOUBT
        await scripts.close()
        await redis.aclose()


async def test_silence_is_unknown_and_never_no(tmp_path: Path) -> None:
    """A Redis that is stopped may have taken the call; when it wakes calls are served again."""
    engine = start_valkey(tmp_path / "valkey")
    redis = connect(engine.url)
    scripts = Scripts(redis, answer_within_s=0.2)
    try:
        await _begin(scripts)
        assert scripts.steady_since(0) is not None
        engine.pause()
        with pytest.raises(LedgerUnavailable) as silent:
            await _begin(scripts, 1)
        assert silent.value.reason == IN_DOUBT
        assert scripts.steady_since(0) is None
        engine.resume()

        assert (await _begin(scripts, 1))[0] in ("OK", "EXISTS")
        assert scripts.steady_since(0) is not None
    finally:
        await scripts.close()
        await redis.aclose()
        engine.stop()


async def test_a_redis_that_was_started_anew_is_found_again(tmp_path: Path) -> None:
    """The connection is gone; the call is sent once more on a new one."""
    engine = start_valkey(tmp_path / "valkey")
    redis = connect(engine.url)
    scripts = Scripts(redis)
    try:
        await _begin(scripts)
        engine.kill()
        with pytest.raises(LedgerUnavailable):
            await _begin(scripts, 1)
        engine = start_valkey(tmp_path / "valkey")

        assert await _begin(scripts) == ["EXISTS", 0]
    finally:
        await scripts.close()
        await redis.aclose()
        engine.stop()


async def test_a_password_and_a_database_of_the_url_are_used(tmp_path: Path) -> None:
    """As redis-py would; a wrong password is no connection, and nothing was asked."""
    engine = start_valkey(tmp_path / "valkey")
    async with Redis.from_url(engine.url) as admin:
        await admin.config_set("requirepass", "sesame")
    socket = engine.url.removeprefix("unix://")
    inside = connect(f"unix://:sesame@{socket}?db=3")
    outside = connect(f"unix://:open@{socket}")
    right, wrong = Scripts(inside), Scripts(outside)
    try:
        assert await _begin(right) == ["OK", 0]
        assert await inside.exists(META) == 1
        with pytest.raises(LedgerUnavailable) as refused:
            await _begin(wrong)
        assert refused.value.reason != IN_DOUBT
    finally:
        for scripts, client in ((right, inside), (wrong, outside)):
            await scripts.close()
            await client.aclose()
        engine.stop()
