"""Proving the laws on real engines, page by page, while things go on."""

from __future__ import annotations

from typing import Any

import pytest

from storage import proof_records, proof_redis, proving
from storage.proof import Violation
from storage.proving import Prover
from tests.storage.proved_books import account_of

pytestmark = pytest.mark.anyio


async def test_books_in_the_middle_of_the_day_are_sound(books, acme):
    """Holds, entries of the outbox, additions and take-backs on their way: all are counted."""
    assert await books.broken() == []

    await books.top_up(acme, "10.00")
    assert await books.broken() == []

    await books.take(acme, "60.00")
    await books.crediting.apply(acme)
    assert await books.broken() == []

    await books.record()
    assert await books.broken() == []

    await books.top_up(acme, "70.00")
    await books.crediting.apply(acme)
    assert await books.broken() == []

    await books.record()
    await books.business("0.01")
    assert await books.broken() == []


async def test_one_in_trouble_is_named_among_many(books, acme, monkeypatch):
    """Page after page; the others are proved all the same."""
    monkeypatch.setattr(proving, "PAGE", 2)
    others = [await books.business("1.00") for _ in range(6)]
    await books.redis.hincrby(account_of(others[3]), "total", 1)

    pages = [page async for page in Prover(books.database, books.redis, pauses_s=()).all()]

    assert [page.businesses for page in pages] == [2, 2, 2, 1]
    assert [each.business for page in pages for each in page.violations] == [others[3]]
    rest = Prover(books.database, books.redis).all(after=pages[1].last)
    assert [page.last async for page in rest] == [page.last for page in pages[2:]]


async def test_an_outbox_of_many_pages_is_read_to_its_end(books, acme, monkeypatch):
    """However much waits for SQL."""
    monkeypatch.setattr(proof_redis, "PAGE", 3)
    for _ in range(10):
        await books.call(acme, "0.10")

    assert await books.broken() == []


class Meanwhile:
    """A step of the look, before or after which something happens in the ledger."""

    def __init__(self, step: Any, happens: Any, *, after: bool) -> None:
        self._step, self._happens, self._after = step, happens, after

    async def __call__(self, *given: Any, **more: Any) -> Any:
        if not self._after:
            await self._happens()
        found = await self._step(*given, **more)
        if self._after:
            await self._happens()
        return found


STEPS = {
    "before Redis is read": (proof_redis, "accounts", False),
    "between Redis and the outbox": (proof_redis, "waiting", False),
    "between the outbox and SQL": (proof_redis, "waiting", True),
    "while SQL is read": (proof_records, "look", False),
}


@pytest.mark.parametrize("step", STEPS)
async def test_what_happens_while_we_look_is_no_difference(books, acme, step, monkeypatch):
    """Calls, additions, take-backs and the recorder: one look is exact, whatever comes between."""
    module, name, after = STEPS[step]

    async def happens() -> None:
        await books.call(acme, "0.25")
        await books.top_up(acme, "5.00")
        await books.crediting.apply(acme)
        await books.record()
        await books.take(acme, "2.00")
        await books.crediting.apply(acme)
        await books.call(acme, "0.50")

    monkeypatch.setattr(module, name, Meanwhile(getattr(module, name), happens, after=after))

    once = Prover(books.database, books.redis, pauses_s=())

    for _ in range(3):
        assert await once.some([acme]) == []


async def test_a_difference_that_goes_away_is_not_told(books, acme):
    """It is looked at again, and only what stays is a broken law."""
    await books.redis.hincrby(account_of(acme), "total", 1)
    prover = Prover(books.database, books.redis, pauses_s=(0, 0, 0))
    looks = 0
    look = prover.look

    async def look_and_repair(ids: Any) -> Any:
        nonlocal looks
        looks += 1
        found = await look(ids)
        if looks == 2:
            await books.redis.hincrby(account_of(acme), "total", -1)
        return found

    prover.look = look_and_repair  # type: ignore[method-assign]

    assert await prover.some([acme]) == []
    assert looks == 3


async def test_a_difference_that_changes_is_told_when_it_never_goes_away(books, acme):
    """Three looks that agree are enough; else the last of them all is told."""
    prover = Prover(books.database, books.redis, pauses_s=(0, 0, 0))
    look = prover.look

    async def look_and_drift(ids: Any) -> Any:
        await books.redis.hincrby(account_of(acme), "total", 1)
        return await look(ids)

    prover.look = look_and_drift  # type: ignore[method-assign]

    told = await prover.some([acme])

    assert [(each.what, each.difference) for each in told] == [("total", 4)]


def test_the_figures_of_a_violation_may_move_on():
    """A business that goes on being used has the same difference at another balance."""
    one = Violation("acme", "L2", "total", "Redis has 1", 1)

    assert proving._same([one], [Violation("acme", "L2", "total", "Redis has 2", 1)])
    assert not proving._same([one], [Violation("acme", "L2", "total", "Redis has 2", 2)])
    assert not proving._same([one], [])
