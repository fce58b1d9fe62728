"""
The laws under random interleavings: the real scripts, recorder and crediting, beside a model.

Hypothesis draws holds, renewals, settles, sweeps, top-ups, take-backs, suspensions, lost
replies and crashes between SQL and Redis, in any order; after each step the account in
Redis is what the model says (L1, L7), and at the end so is SQL (L2, L3, L5, L6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis.asyncio import Redis
from sqlalchemy import select

from gateway.background.crediting import Crediting
from gateway.background.recorder import Recorder
from metering.money import Credits
from storage import businesses, movements, outbox, purchases, redis_keys, transactions
from storage.accounts import Accounts
from storage.balances import Balances, NoHold
from storage.database import Database
from storage.errors import BusinessSuspended, CreditsOwed, InsufficientCredits, LedgerRefusal
from storage.ids import new_id
from storage.partitions import Partitions
from storage.redis_keys import PARTITIONS
from storage.scripts import Scripts, connect
from storage.tables import (
    ai_credit_purchases,
    ai_transactions,
    business_ai_credits,
    credit_movements,
)

T = TypeVar("T")
ASKED_MOST = 10_000  # Leases of a millisecond have ended long before.
AMOUNTS = st.one_of(
    st.integers(0, 30), st.integers(0, 5_000_000), st.sampled_from([1, 10**12, 10**14 + 1])
)
ROW = (
    '{"key_id":null,"user":null,"feature":null,"endpoint":"chat.completions","model":"m",'
    '"usage":{},"usage_source":"none","estimated":false,"cost_pico":"0","tokens_used":0,'
    '"started_at_ms":1,"success":true,"http_status":200,"processing_ms":1,"first_byte_ms":1,'
    '"price_version":"v","upstream_request_id":null,"adjusts":null}'
)


class Engines:
    """One event loop with the real ledger on a Redis and a SQLite, for many examples."""

    def __init__(self, redis_url: str, records_url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.redis: Redis = connect(redis_url)
        self.database = Database.open(records_url)
        self.scripts = Scripts(self.redis)
        self.partitions = Partitions(self.redis, self.scripts, self.database)
        self.balances = Balances(self.redis, self.scripts, self.partitions)
        self.accounts = Accounts(self.database, self.balances, self.partitions)
        self.crediting = Crediting(self.database, self.balances, self.accounts)
        self.losses: list[str] = []
        self.recorder = Recorder(
            self.database, self.redis, on_loss=lambda _, reason: self.losses.append(reason)
        )
        self.calls = 0
        self.run(self.partitions.begin())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        self.calls += 1
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.run(self.redis.aclose())
        self.run(self.database.close())
        self.loop.close()


@dataclass
class Model:
    """What one business's account must be."""

    business: str
    total: int = 0
    held: int = 0
    owed: int = 0
    status: str = "active"
    holds: dict[str, tuple[int, int]] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    dying: set[str] = field(default_factory=set)
    pending: list[tuple[str, int]] = field(default_factory=list)
    bought: int = 0

    @property
    def available(self) -> int:
        return self.total - self.held

    def applies(self, verb: str, amount: int) -> None:
        if verb == "add":
            self.total += amount
            self.pays_owed()
        elif verb == "take":
            taken = min(amount, self.available)
            self.total -= taken
            self.owed += amount - taken
        else:
            self.status = verb

    def pays_owed(self) -> None:
        paid = min(self.owed, self.available)
        self.total -= paid
        self.owed -= paid

    def settles(self, id: str, amount: int) -> int:
        granted, _ = self.holds.pop(id, (0, 0))
        self.dying.discard(id)
        charged = min(amount, granted + self.available)
        self.total -= charged
        self.held -= granted
        self.settled[id] = charged
        self.pays_owed()
        return charged


class LedgerMachine(RuleBasedStateMachine):
    """Two businesses and everything that can happen to them."""

    engines: Engines

    def __init__(self) -> None:
        super().__init__()
        self.models = [Model(self._business()) for _ in range(2)]
        self.references = count()

    def _business(self) -> str:
        async def add() -> str:
            async with self.engines.database.write() as connection:
                made = await businesses.add(
                    connection, name="Acme", owner_email="a@example.com", at=_now()
                )
            await self.engines.accounts.open(made.id)
            return made.id

        return self.engines.run(add())

    # Money in: SQL → Redis.

    @rule(which=st.integers(0, 1), credits=AMOUNTS, bonus=AMOUNTS)
    def top_up(self, which: int, credits: int, bonus: int) -> None:
        model = self.models[which]
        if credits + bonus == 0 or model.bought + credits + bonus > 10**15 - 1:
            return

        async def buy() -> None:
            async with self.engines.database.write() as connection:
                await purchases.top_up(
                    connection,
                    business=model.business,
                    credits=Credits(credits),
                    bonus=Credits(bonus),
                    reference=f"{model.business}-{next(self.references)}",
                    at=_now(),
                )

        self.engines.run(buy())
        model.bought += credits + bonus
        model.pending += [("add", amount) for amount in (credits, bonus) if amount]

    @rule(which=st.integers(0, 1), amount=AMOUNTS.filter(bool))
    def take_back(self, which: int, amount: int) -> None:
        model = self.models[which]

        async def take() -> None:
            async with self.engines.database.write() as connection:
                await purchases.adjust(
                    connection,
                    business=model.business,
                    credits=Credits(-amount),
                    reason="a test",
                    user="admin",
                    at=_now(),
                )

        self.engines.run(take())
        model.pending.append(("take", amount))

    @rule(which=st.integers(0, 1), status=st.sampled_from(["active", "suspended"]))
    def set_status(self, which: int, status: Any) -> None:
        model = self.models[which]
        states = [verb for verb, _ in model.pending if verb in ("active", "suspended")]
        before = states[-1] if states else model.status

        async def change() -> None:
            async with self.engines.database.write() as connection:
                await businesses.set_status(connection, model.business, status=status, at=_now())

        self.engines.run(change())
        if status != before:
            model.pending.append((status, 0))

    @rule(which=st.integers(0, 1))
    def apply(self, which: int) -> None:
        model = self.models[which]
        self.engines.run(self.engines.crediting.apply(model.business))
        for verb, amount in model.pending:
            model.applies(verb, amount)
        model.pending.clear()

    @rule(which=st.integers(0, 1))
    def apply_again(self, which: int) -> None:
        """The reply to a credit event was lost, and it is sent once more."""
        model = self.models[which]
        self.apply(which)

        async def again() -> set[str]:
            async with self.engines.database.read() as connection:
                events = await movements.pending(connection, model.business, 0)
            return {await self.engines.balances.credit(event) for event in events}

        assert self.engines.run(again()) <= {"APPLIED"}

    # Calls.

    @rule(which=st.integers(0, 1), ceiling=AMOUNTS, slack=AMOUNTS, dies=st.booleans())
    def hold(self, which: int, ceiling: int, slack: int, dies: bool) -> None:
        model, id = self.models[which], new_id()
        floor = max(0, ceiling - slack)
        refused = self._ask_hold(model, id, ceiling, floor, lease_s=0.001 if dies else 600)
        granted = min(ceiling, model.available)
        expected = None
        if model.status == "suspended":
            expected = BusinessSuspended
        elif model.owed:
            expected = CreditsOwed
        elif granted < floor:
            expected = InsufficientCredits
        assert (refused is None) if expected is None else isinstance(refused, expected)
        if expected is None:
            model.held += granted
            model.holds[id] = (granted, 0)
            if dies:
                model.dying.add(id)

    def _ask_hold(
        self, model: Model, id: str, ceiling: int, floor: int, *, lease_s: float
    ) -> LedgerRefusal | None:
        hold = self.engines.balances.hold(
            business=model.business,
            id=id,
            ceiling=Credits(ceiling),
            floor=Credits(floor),
            lease_s=lease_s,
            note=ROW,
        )
        try:
            self.engines.run(hold)
        except LedgerRefusal as refused:
            return refused
        return None

    @rule(which=st.integers(0, 1), pick=st.randoms(use_true_random=False))
    def hold_again(self, which: int, pick: Any) -> None:
        """A reply was lost and the library asks again."""
        model = self.models[which]
        if model.holds:
            id = pick.choice(sorted(model.holds))
            assert self._ask_hold(model, id, 10**14, 0, lease_s=600) is None

    @rule(which=st.integers(0, 1), metered=AMOUNTS, pick=st.randoms(use_true_random=False))
    def renew(self, which: int, metered: int, pick: Any) -> None:
        model = self.models[which]
        if not model.holds:
            return
        id = pick.choice(sorted(model.holds))
        granted, noted = model.holds[id]
        lives = self.engines.balances.renew(
            business=model.business, id=id, lease_s=0.001, metered=Credits(metered)
        )
        assert self.engines.run(lives)
        model.holds[id] = (granted, max(noted, metered))
        model.dying.add(id)

    @rule(which=st.integers(0, 1), amount=AMOUNTS, pick=st.randoms(use_true_random=False))
    def settle(self, which: int, amount: int, pick: Any) -> None:
        model = self.models[which]
        if not model.holds:
            return
        id = pick.choice(sorted(model.holds))
        available = model.holds[id][0] + model.available
        settled = self._settle(model, id, amount)
        charged = model.settles(id, amount)
        assert settled.charged == Credits(charged)
        assert settled.shortfall == Credits(max(0, amount - available))

    @rule(which=st.integers(0, 1), amount=AMOUNTS, pick=st.randoms(use_true_random=False))
    def settle_again(self, which: int, amount: int, pick: Any) -> None:
        model = self.models[which]
        if model.settled:
            id = pick.choice(sorted(model.settled))
            settled = self._settle(model, id, amount)
            assert not settled.is_new
            assert settled.charged == Credits(model.settled[id])

    @rule(which=st.integers(0, 1), amount=AMOUNTS)
    def settle_what_was_never_held(self, which: int, amount: int) -> None:
        model = self.models[which]
        with pytest.raises(NoHold):
            self._settle(model, new_id(), amount)

    @rule(which=st.integers(0, 1), amount=AMOUNTS)
    def adopt(self, which: int, amount: int) -> None:
        model, id = self.models[which], new_id()
        settled = self._settle(model, id, amount, adopt=True)
        assert settled.charged == Credits(model.settles(id, amount))

    def _settle(self, model: Model, id: str, amount: int, *, adopt: bool = False) -> Any:
        return self.engines.run(
            self.engines.balances.settle(
                business=model.business,
                id=id,
                amount=Credits(amount),
                outcome="settled",
                row=ROW,
                adopt=adopt,
            )
        )

    @rule()
    def sweep(self) -> None:
        """Whatever is overdue is charged at its checkpoint, and nothing else."""
        dying = {id for model in self.models for id in model.dying}

        async def sweep() -> list[tuple[str, str, int]]:
            # The clock is that of Redis: ask until it says that these leases have ended.
            for _ in range(ASKED_MOST):
                if dying <= await self._overdue():
                    break
            else:
                raise AssertionError(f"some of {dying} are never overdue")
            swept = []
            for partition in {redis_keys.partition_of(m.business) for m in self.models}:
                for hold in await self.engines.balances.overdue(partition):
                    done = await self.engines.balances.sweep(business=hold.business, id=hold.id)
                    if done is not None:
                        swept.append((hold.business, hold.id, done.charged.micro))
            return swept

        swept = self.engines.run(sweep())
        assert {id for _, id, _ in swept} == dying
        for business, id, charged in swept:
            for model in self.models:
                if model.business == business:
                    assert model.settles(id, model.holds[id][1]) == charged

    async def _overdue(self) -> set[str]:
        found: set[str] = set()
        for partition in {redis_keys.partition_of(model.business) for model in self.models}:
            found |= {hold.id for hold in await self.engines.balances.overdue(partition)}
        return found

    # Money out: Redis → SQL.

    @rule()
    def record(self) -> None:
        self.engines.run(self.engines.recorder.record_once())

    @rule()
    def record_and_crash_before_redis_forgets(self) -> None:
        async def record() -> None:
            entries = await outbox.read(self.engines.redis, range(PARTITIONS), 500)
            async with self.engines.database.write() as connection:
                await transactions.record(connection, entries, at=_now())

        self.engines.run(record())

    # The laws.

    @invariant()
    def the_account_is_what_the_model_says(self) -> None:
        """L1 shape and L7 floor."""
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
        assert self.engines.losses == []

    async def _check_sql(self, model: Model) -> None:
        """L2 conservation, L3 no gaps, L6 money in: once everything has arrived."""
        async with self.engines.database.read() as connection:
            row = (await connection.execute(_of(business_ai_credits, model))).one()
            charged = list(await connection.execute(_of(ai_transactions, model)))
            moved = list(await connection.execute(_of(credit_movements, model)))
            bought = list(await connection.execute(_of(ai_credit_purchases, model)))
        moves = sum(move.amount_microcredits for move in moved)
        assert row.balance_microcredits == model.total
        assert row.owed_microcredits == model.owed
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
    found: dict[str, str] = await redis.hgetall(key)
    return found


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def engines(redis_url: str, sqlite_records_url: str) -> Iterator[Engines]:
    opened = Engines(redis_url, sqlite_records_url)
    yield opened
    opened.close()


def test_the_laws_hold_under_any_interleaving(engines: Engines) -> None:
    """200 examples of up to 40 steps, on Valkey 9 and on Redis 7.0."""

    class Machine(LedgerMachine):
        pass

    Machine.engines = engines
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=200,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            # Smaller examples would be tried on what a failed one left behind.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )

    assert engines.calls > 10_000
    print(f"{engines.calls} calls of the ledger")
