"""
What a key with a cap has spent: counted in Redis from some moment on, and before that in SQL.

Redis counts nothing of a key without limits. So when such a key gets a cap, or Redis begins
anew, the script is told to begin counting; what was charged up to then is summed in SQL, as
soon as SQL has all of it, and taken down beside the count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from metering.money import Credits
from storage import redis_keys, transactions
from storage.answers import NotCounted
from storage.database import Database
from storage.errors import RecordsUnavailable
from storage.fenced import Fenced
from storage.ids import known_id
from storage.tables import ai_transactions as table

T = TypeVar("T")

# The recorder is a quarter of a second behind at the most while SQL answers.
RECORDED_WITHIN_S = 2.0
LOOK_EVERY_S = 0.02
BEGUN_ANEW_MOST = 3  # Somebody else took it down, or the hash was lost meanwhile.


class Spending:
    """Has the spending of keys counted when it is first asked for."""

    def __init__(self, database: Database, fenced: Fenced) -> None:
        self._database = database
        self._fenced = fenced

    async def counted(self, business: str, key: str, ask: Callable[[], Awaitable[T]]) -> T:
        """
        Ask; where it is not known what the key has spent have it counted, and ask again.

        Raises:
            RecordsUnavailable: SQL does not know it yet; nothing was changed for the call.
        """
        for _ in range(BEGUN_ANEW_MOST):
            try:
                return await ask()
            except NotCounted:
                await self.count(business, key)
        raise RecordsUnavailable(f"what the key {key} has spent is being counted; ask again")

    async def count(self, business: str, key: str) -> None:
        """
        Begin to count, and take down what was spent before.

        Raises:
            NoAccount: Open it, then ask again.
            RecordsUnavailable: SQL is away, or too far behind.
        """
        from_seq = await self.begin(business, key)
        if from_seq is not None:
            before = await self._spent_up_to(business, key, from_seq)
            await self.take_down(business, key, before=before, from_seq=from_seq)

    async def begin(self, business: str, key: str) -> int | None:
        """The seq after which Redis counts; None when what was spent before is known too."""
        return await self._ask(business, key, "", "")

    async def take_down(
        self, business: str, key: str, *, before: Credits, from_seq: int
    ) -> int | None:
        """Note what was spent up to a seq; answers None where Redis counts from another one."""
        return await self._ask(business, key, str(before.micro), str(from_seq))

    async def _ask(self, business: str, key: str, before: str, from_seq: str) -> int | None:
        p = redis_keys.partition_of(business)
        keys = (
            redis_keys.meta(p),
            redis_keys.account(p, business),
            redis_keys.holds(p, business),
            redis_keys.limits(p, key),
        )
        answer = await self._fenced.ask("count", p, keys, (business, key, before, from_seq))
        return int(answer[2]) if answer[0] == "OK" else None

    async def _spent_up_to(self, business: str, key: str, seq: int) -> Credits:
        for _ in range(round(RECORDED_WITHIN_S / LOOK_EVERY_S)):
            async with self._database.read() as connection:
                spent = await transactions.spent_by(connection, business, key, up_to_seq=seq)
            if spent is not None:
                return spent
            await asyncio.sleep(LOOK_EVERY_S)
        raise RecordsUnavailable(f"what the key {key} has spent is not recorded yet; ask again")


async def spent_of(
    connection: AsyncConnection, business: str, keys: Collection[str]
) -> dict[str, Credits]:
    """Key → what it was charged, as far as SQL has it; a key that spent nothing is left out."""
    if not keys:
        return {}
    found = await connection.execute(
        select(table.c.key_id, func.sum(table.c.credits_used_microcredits))
        .where(table.c.business_id == known_id("business", business), table.c.key_id.in_(keys))
        .group_by(table.c.key_id)
    )
    return {row[0]: Credits(int(row[1])) for row in found}
