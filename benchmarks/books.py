"""
The business that calls, and whether its books are right in the end.

Every call that was answered has exactly one row, and the money adds up: a gateway that is
quick because it loses rows is not quick.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select

from metering.money import Credits
from storage import businesses, keys, purchases, redis_keys, schema
from storage.database import Database
from storage.scripts import connect
from storage.tables import ai_transactions, business_ai_credits

TOPPED_UP = Credits.parse("100000000.00")  # 2,000 calls at once hold some 6,000 credits.
RECORDED_WITHIN_S = 60.0
PROBE_S = 0.05
# The gateway reads about once a second in SQL which of its settles are there; that is part
# of what a call costs.
FORGOTTEN_AFTER_S = 1.2


class BooksWrong(Exception):
    """Rows are missing, or the money does not add up."""


@dataclass
class Books:
    """The records and the ledger of one business."""

    database: Database
    redis: Any
    business: str
    key: str

    @classmethod
    async def begin(cls, *, redis_url: str, sql_url: str) -> Books:
        """Empty records with one business, its key, and an ample balance."""
        database = Database.open(sql_url)
        await schema.upgrade(database)
        at = datetime.now(UTC)
        async with database.write() as connection:
            business = await businesses.add(
                connection, name="Bench", owner_email="bench@example.com", at=at
            )
            _, key = await keys.issue(connection, business=business.id, name="bench", at=at)
            await purchases.top_up(connection, business=business.id, credits=TOPPED_UP, at=at)
        return cls(database, connect(redis_url, answer_within_s=10), business.id, key)

    async def close(self) -> None:
        await self.redis.aclose()
        await self.database.close()

    async def write_ms(self) -> float:
        """How long Redis takes for one write that is synced to disk, as a hold is."""
        begun = time.perf_counter()
        await self.redis.set("bench", "x" * 500)
        return (time.perf_counter() - begun) * 1000

    async def recorded(self, calls: int) -> None:
        """
        Wait until SQL has the rows of so many calls, and the gateway has seen that.

        Raises:
            BooksWrong: It does not get there.
        """
        deadline = asyncio.get_running_loop().time() + RECORDED_WITHIN_S
        while (seq := await self._scalar(business_ai_credits.c.seq)) != calls:
            if asyncio.get_running_loop().time() > deadline:
                raise BooksWrong(f"{calls} calls were answered and {seq} are recorded")
            await asyncio.sleep(PROBE_S)
        await asyncio.sleep(FORGOTTEN_AFTER_S)

    async def prove(self, calls: int) -> None:
        """
        Hold rows, balance and ledger against each other.

        Raises:
            BooksWrong: Says what does not fit.
        """
        table = ai_transactions.c
        query = select(
            func.count(),
            func.count(table.id.distinct()),
            func.sum(table.credits_used_microcredits),
            func.min(table.credits_used_microcredits),
            func.max(table.credits_used_microcredits),
            func.sum(table.shortfall_microcredits),
        ).where(table.success, table.outcome == "settled", table.usage_source == "reported")
        async with self.database.read() as connection:
            rows, ids, charged, least, most, shortfall = (await connection.execute(query)).one()
        balance = await self._scalar(business_ai_credits.c.balance_microcredits)
        p = redis_keys.partition_of(self.business)
        account = redis_keys.account(p, self.business)
        total, held = await self.redis.hmget(account, ["total", "held"])
        facts = {
            f"{calls} calls were answered; SQL has {rows} good rows": rows == ids == calls,
            f"calls of one price cost from {least} to {most}": least == most != 0,
            f"{shortfall} micro-credits are missing": shortfall == 0,
            f"{TOPPED_UP} - {Credits(int(charged or 0))} is not {Credits(balance)}": (
                TOPPED_UP.micro - int(charged or 0) == balance
            ),
            f"Redis says {total}, SQL {balance}": int(total) == balance,
            f"{held} micro-credits are still held": int(held) == 0,
        }
        wrong = [what for what, is_so in facts.items() if not is_so]
        if wrong:
            raise BooksWrong("; ".join(wrong))

    async def _scalar(self, column: Any) -> int:
        query = select(column).where(
            business_ai_credits.c.business_id == self.business, business_ai_credits.c.is_active
        )
        async with self.database.read() as connection:
            return int((await connection.execute(query)).scalar_one())
