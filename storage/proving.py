"""
Proving the laws L1, L2, L3 and L6 for every business, while the gateway goes on.

A look is exact by its order (`proof`), so calls that run do not disturb it. A difference is
looked at again all the same, and only one that stays is told: a recovery, or an account that
is opened while we look, is not a broken law.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from storage import proof_details, proof_records, proof_redis, proof_waiting
from storage.database import Database
from storage.proof import Violation, broken_laws
from storage.proof_facts import Facts

PAGE = 200  # Businesses that are looked at together; what they need in memory is bounded.
NOBODY = "00000000-0000-0000-0000-000000000000"  # Has no account; asking for it asks Redis.
LOOKS = 3  # A difference is told when it was the same in so many looks on end.
PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)  # Between the looks at a difference.


@dataclass(frozen=True, slots=True)
class Proved:
    """A page of businesses, and what is wrong with them."""

    businesses: int
    last: str
    violations: list[Violation]


class Prover:
    """Looks at businesses, and again at those that seem to break a law."""

    def __init__(
        self, database: Database, redis: Any, *, pauses_s: Sequence[float] = PAUSES_S
    ) -> None:
        self._database = database
        self._redis = redis
        self._pauses_s = pauses_s

    async def count(self, *, after: str | None = None) -> int:
        """How many businesses `all` will prove."""
        async with self._database.read() as connection:
            return await proof_records.count(connection, after=after)

    async def reach(self) -> None:
        """
        Make sure that Redis answers.

        Raises:
            LedgerUnavailable: It does not.
        """
        await proof_redis.accounts(self._redis, [NOBODY])

    async def buried(self) -> int:
        """How many dead letters count in the proof."""
        async with self._database.read() as connection:
            return await proof_waiting.count_buried(connection)

    async def all(self, *, after: str | None = None) -> AsyncIterator[Proved]:
        """
        Every business after that one, the oldest first, page by page.

        Raises:
            LedgerUnavailable: Redis does not answer.
            RecordsUnavailable: SQL does not answer.
        """
        while True:
            async with self._database.read() as connection:
                ids = await proof_records.page(connection, after=after, limit=PAGE)
            if not ids:
                return
            after = ids[-1]
            yield Proved(len(ids), after, await self.some(ids))

    async def some(self, ids: Sequence[str]) -> list[Violation]:
        """
        What is wrong with these businesses, and stays so.

        Raises: As `all`.
        """
        found = await self._broken(ids)
        seen = dict.fromkeys(found, 1)
        told: list[Violation] = []
        for pause_s in self._pauses_s:
            if not found:
                break
            await asyncio.sleep(pause_s)
            again = await self._broken(list(found))
            for business, violations in again.items():
                same = _same(violations, found[business])
                seen[business] = seen[business] + 1 if same else 1
            found = again
            for business in [each for each in found if seen[each] >= LOOKS]:
                told += found.pop(business)
        # What was wrong in every look, each time differently, is wrong.
        told += [each for violations in found.values() for each in violations]
        return [await self._detailed(each) for each in told]

    async def look(self, ids: Sequence[str]) -> list[Facts]:
        """One look, in the order that makes it exact."""
        async with self._database.read() as connection:
            before = await proof_records.before(connection, ids)
        accounts = await proof_redis.accounts(self._redis, ids)
        waiting = await proof_redis.waiting(self._redis, ids)
        async with self._database.read() as connection:
            records = await proof_records.look(connection, ids, accounts)
            for business, letters in (await proof_waiting.buried(connection, ids)).items():
                waiting[business] += letters
            entries = await proof_waiting.stored(connection, waiting)
        return [
            Facts(id, before[id], accounts.get(id), records[id], tuple(entries.get(id, ())))
            for id in ids
        ]

    async def _broken(self, ids: Sequence[str]) -> dict[str, list[Violation]]:
        found: dict[str, list[Violation]] = defaultdict(list)
        for facts in await self.look(ids):
            for violation in broken_laws(facts):
                found[facts.business].append(violation)
        return dict(found)

    async def _detailed(self, violation: Violation) -> Violation:
        async with self._database.read() as connection:
            rows = await proof_details.rows_of(connection, violation)
        return replace(violation, rows=(*violation.rows, *rows))


def _same(some: Sequence[Violation], others: Sequence[Violation]) -> bool:
    """The same laws are broken by as much; figures of a business that is used may move on."""
    return [_what(each) for each in some] == [_what(each) for each in others]


def _what(violation: Violation) -> tuple[str, str, int]:
    return violation.law, violation.what, violation.difference
