"""A repeated admin call is answered as the first time and does nothing."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest

from storage import idempotency
from storage.database import Database
from storage.errors import Conflict
from storage.idempotency import Answered
from tests.storage.outbox_entries import NOW

pytestmark = pytest.mark.anyio

BODY = sha256(b"{}").digest()


async def answer(database: Database, *, key: str = "k1", body: bytes = BODY, fails: bool = False):
    """What a call is answered: the work it did, or what was answered before."""
    async with database.write() as connection:
        before = await idempotency.claim(
            connection, scope="top-up", key=key, body_digest=body, at=NOW
        )
        if before is not None:
            return before
        # Long enough for whoever else is here to arrive at the same key.
        await asyncio.sleep(0)
        if fails:
            raise RuntimeError
        await idempotency.keep(
            connection, scope="top-up", key=key, status=201, answer={"balance": "77.50"}
        )
        return "did the work"


async def test_the_second_call_gets_the_first_answer(database: Database) -> None:
    """Also where both arrive together: one waits for the other."""
    answers = await asyncio.gather(*(answer(database) for _ in range(5)))

    assert answers.count("did the work") == 1
    assert answers.count(Answered(201, {"balance": "77.50"})) == 4


async def test_a_key_is_free_again_after_a_failure(database: Database) -> None:
    """The claim is rolled back together with the work."""
    with pytest.raises(RuntimeError):
        await answer(database, fails=True)

    assert await answer(database) == "did the work"


async def test_a_key_with_another_body_is_a_mistake(database: Database) -> None:
    """It would be wrong to answer it with the first answer, and wrong to do it."""
    await answer(database)

    with pytest.raises(Conflict, match="another body"):
        await answer(database, body=sha256(b"other").digest())


async def test_another_key_is_another_call(database: Database) -> None:
    """The same body twice on purpose."""
    assert await answer(database, key="k1") == "did the work"
    assert await answer(database, key="k2") == "did the work"
