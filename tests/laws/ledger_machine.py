"""
The ledger machine: everything that can happen to two businesses, in any order.

The rules for money in are in `ledger_money_in.py`, those for calls in `ledger_calls.py`, those
for keys with limits in `ledger_limits.py`, those for time in `ledger_expiry.py`; here are those
for money out, and the laws that hold after each step and at the end.
"""

from __future__ import annotations

from typing import Any, cast

from hypothesis.stateful import invariant, rule
from redis.asyncio import Redis
from sqlalchemy import select

from storage import businesses, outbox, redis_keys, transactions
from storage.redis_keys import PARTITIONS
from storage.tables import (
    ai_credit_purchases,
    ai_transactions,
    ai_usage_alerts,
    business_ai_credits,
    credit_movements,
)
from tests.laws.ledger_engines import now
from tests.laws.ledger_expiry import Ends
from tests.laws.ledger_limits import LimitedCalls
from tests.laws.ledger_model import EXPIRED, Model
from tests.storage.rolled_up import grouped, rollup


class LedgerMachine(LimitedCalls, Ends):
    """Two businesses and everything that can happen to them."""

    # Money out: Redis → SQL.

    @rule()
    def record(self) -> None:
        self.engines.run(self.engines.recorder.record_once())

    @rule()
    def record_and_crash_before_redis_forgets(self) -> None:
        async def record() -> None:
            entries = await outbox.read(self.engines.redis, range(PARTITIONS), 500)
            async with self.engines.database.write() as connection:
                await transactions.record(connection, entries, at=now())

        self.engines.run(record())

    # The laws.

    @invariant()
    def the_account_is_what_the_model_says(self) -> None:
        """L1 shape, L7 floor, and L9: what is armed."""
        for model in self.models:
            p = redis_keys.partition_of(model.business)
            account = self.engines.run(
                _hash(self.engines.redis, redis_keys.account(p, model.business))
            )
            if not account:
                continue
            open_holds = self.engines.run(
                _hash(self.engines.redis, redis_keys.holds(p, model.business))
            )
            held = sum(int(hold.split("|")[0]) for hold in open_holds.values())
            assert int(account["held"]) == held == model.held
            assert int(account["total"]) == model.total
            assert int(account["owed"]) == model.owed
            assert int(account["alerted"]) == model.alerted
            assert 0 <= held <= model.total

    def teardown(self) -> None:
        for which in range(2):
            self.apply(which)
        for model in self.models:
            for id in list(model.holds):
                self._settle(model, id, 0)
                model.settles(id, 0)
        while self.engines.run(self.engines.recorder.record_once()):
            pass
        for model in self.models:
            self.engines.run(self._check_sql(model))
        self.engines.run(self._check_rollup())
        assert self.engines.losses == []

    async def _check_rollup(self) -> None:
        """`usage_daily` is the sum of the transactions, those of every example so far."""
        async with self.engines.database.read() as connection:
            assert await rollup(connection) == await grouped(connection)

    async def _check_sql(self, model: Model) -> None:
        """L2 conservation, L3 no gaps, L6 money in, L9 alerts: once everything has arrived."""
        async with self.engines.database.read() as connection:
            rows = list(await connection.execute(_of(business_ai_credits, model)))
            row = await businesses.ledger_row(connection, model.business)
            raised = list(await connection.execute(_of(ai_usage_alerts, model)))
            charged = list(await connection.execute(_of(ai_transactions, model)))
            moved = list(await connection.execute(_of(credit_movements, model)))
            bought = list(await connection.execute(_of(ai_credit_purchases, model)))
        moves = sum(move.amount_microcredits for move in moved)
        assert row.balance.micro == sum(each.balance_microcredits for each in rows) == model.total
        assert row.owed.micro == sum(each.owed_microcredits for each in rows) == model.owed
        assert [each.id for each in rows if each.is_active] in ([], [row.id])
        expired = -sum(move.amount_microcredits for move in moved if move.kind == "expired")
        assert expired == model.expired
        assert not (model.alerted & EXPIRED and row.is_active)
        told = [(one.alert_type, one.credit_seq, one.threshold_microcredits) for one in raised]
        assert sorted(told) == sorted(model.told)
        assert moves - sum(call.credits_used_microcredits for call in charged) == model.total
        assert {call.id: call.credits_used_microcredits for call in charged} == model.settled
        seqs = [call.seq for call in charged] + [move.seq for move in moved if move.seq]
        assert sorted(seqs) == list(range(1, len(seqs) + 1))
        events = sorted(move.credit_seq for move in moved if move.credit_seq)
        assert events == list(range(1, row.credit_seq + 1))
        paid = sum(p.credits_purchased_microcredits + p.bonus_credits_microcredits for p in bought)
        assert paid == model.bought


def _of(table: Any, model: Model) -> Any:
    return select(table).where(table.c.business_id == model.business)


async def _hash(redis: Redis, key: str) -> dict[str, str]:
    # The client gives text: it was asked to (`decode_responses`).
    return cast(dict[str, str], await redis.hgetall(key))
