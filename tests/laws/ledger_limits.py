"""The rules of the ledger machine for keys with limits: rates, places, a spending cap."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from metering.money import Credits
from storage import redis_keys, transactions
from storage.balances import NotCounted
from storage.errors import (
    BusinessSuspended,
    CapReached,
    CreditsExpired,
    CreditsOwed,
    InsufficientCredits,
    LedgerRefusal,
    Limited,
)
from storage.ids import new_id
from storage.limits import KeyLimits, Limits
from tests.laws.ledger_calls import Calls, row_of
from tests.laws.ledger_model import Key, Model
from tests.laws.ledger_money_in import AMOUNTS

WHICH = st.integers(0, 1)


class LimitedCalls(Calls):
    """Each business has a key with a cap, and one with rates; they also call without them."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = [
            (
                Key(new_id(), at_once=3, requests=10**9, cap=cap),
                Key(new_id(), at_once=2, requests=5, cap=None),
            )
            for cap in (4_000_000, 10**13)
        ]

    @rule(which=WHICH, kind=WHICH, ceiling=AMOUNTS, slack=AMOUNTS, dies=st.booleans())
    def hold_within_limits(
        self, which: int, kind: int, ceiling: int, slack: int, dies: bool
    ) -> None:
        model, key, id = self.models[which], self.keys[which][kind], new_id()
        floor = max(0, ceiling - slack)
        before = self._counted(model, key)
        expected = self._refusal(model, key, floor)
        if expected is NotCounted:
            with pytest.raises(NotCounted):
                self._ask_limited(model, key, id, ceiling, floor, dies=dies)
            return
        refused = self._ask_limited(model, key, id, ceiling, floor, dies=dies)
        assert (refused is None) if expected is None else isinstance(refused, expected)
        if expected is not None:
            assert self._counted(model, key) == before, "a refusal changes nothing"
            return
        granted = min(ceiling, model.available)
        if key.cap is not None:
            granted = min(granted, key.cap - key.spent - key.held)
            key.is_held_to_cap = True
        key.asked += 1
        self._is_held(model, key, id, granted, dies=dies)
        assert len(key.holds) <= key.at_once

    def _refusal(self, model: Model, key: Key, floor: int) -> type[Exception] | None:
        if model.status == "suspended":
            return BusinessSuspended
        if model.owed:
            return CreditsOwed
        if model.has_ended:
            return CreditsExpired
        if key.cap is not None and not key.is_counted:
            return NotCounted
        if key.asked >= key.requests or len(key.holds) >= key.at_once:
            return Limited
        if model.available < floor:
            return InsufficientCredits
        if key.cap is not None and key.cap - key.spent - key.held < floor:
            return CapReached
        return None

    @rule(which=WHICH, ceiling=AMOUNTS, dies=st.booleans())
    def hold_before_there_is_a_cap(self, which: int, ceiling: int, dies: bool) -> None:
        model, key, id = self.models[which], self.keys[which][0], new_id()
        if key.counts_from is not None or model.status != "active" or model.owed:
            return
        if model.has_ended:
            return
        lease_s = 0.001 if dies else 600
        assert self._ask_hold(model, id, ceiling, 0, lease_s=lease_s, note=row_of(key)) is None
        self._is_held(model, key, id, min(ceiling, model.available), dies=dies)

    @rule(which=WHICH, amount=AMOUNTS)
    def adopt_for_a_key(self, which: int, amount: int) -> None:
        model, id = self.models[which], new_id()
        model.called_by[id] = self.keys[which][0]
        settled = self._settle(model, id, amount, adopt=True)
        assert settled.charged == Credits(model.settles(id, amount))

    @rule(which=WHICH)
    def begin_to_count(self, which: int) -> None:
        model, key = self.models[which], self.keys[which][0]
        seq = self.engines.run(self.engines.spending.begin(model.business, key.id))
        assert (seq is None) == key.is_counted
        if key.counts_from is None:
            key.counts_from = seq
        assert seq in (None, key.counts_from)

    @rule(which=WHICH)
    def take_down_what_was_spent_before(self, which: int) -> None:
        model, key = self.models[which], self.keys[which][0]
        if key.counts_from is not None and not key.is_counted:
            self.engines.run(self._take_down(model, key, key.counts_from))
            key.is_counted = True

    async def _take_down(self, model: Model, key: Key, seq: int) -> None:
        while await self.engines.recorder.record_once():
            pass
        async with self.engines.database.read() as connection:
            spent = await transactions.spent_by(connection, model.business, key.id, up_to_seq=seq)
        assert spent is not None, "everything is recorded"
        taken = self.engines.spending.take_down(model.business, key.id, before=spent, from_seq=seq)
        assert await taken == seq

    @rule(which=WHICH)
    def forget_what_was_counted(self, which: int) -> None:
        model, key = self.models[which], self.keys[which][0]
        self.engines.run(self._forget(self._name(model, key)))
        key.forgets()

    async def _forget(self, name: str) -> None:
        await self.engines.redis.delete(name)

    @invariant()
    def what_is_counted_of_a_key_is_true(self) -> None:
        """Places and what is held are those of its open holds; a cap is never passed."""
        for model, keys in zip(self.models, self.keys, strict=True):
            for key in keys:
                counted = self._counted(model, key)
                if key.is_held_to_cap:
                    assert key.cap is not None
                    assert key.spent + key.held <= key.cap
                if key.is_counted:
                    assert int(counted["before"]) + int(counted["spent"]) == key.spent
                if key.counts_from is not None or (key.cap is None and counted):
                    assert int(counted["open"]) == len(key.holds)
                    assert int(counted["held"]) == key.held

    def _ask_limited(
        self, model: Model, key: Key, id: str, ceiling: int, floor: int, *, dies: bool
    ) -> LedgerRefusal | None:
        cap = None if key.cap is None else Credits(key.cap)
        limits = KeyLimits(key.id, Limits(key.requests, None, key.at_once), cap)
        lease_s = 0.001 if dies else 600
        return self._ask_hold(
            model, id, ceiling, floor, lease_s=lease_s, note=row_of(key), limits=limits
        )

    def _is_held(self, model: Model, key: Key, id: str, granted: int, *, dies: bool) -> None:
        model.held += granted
        model.holds[id] = (granted, 0)
        model.called_by[id] = key
        key.holds[id] = granted
        if dies:
            model.dying.add(id)

    def _name(self, model: Model, key: Key) -> str:
        return redis_keys.limits(redis_keys.partition_of(model.business), key.id)

    def _counted(self, model: Model, key: Key) -> dict[str, str]:
        async def read() -> dict[str, str]:
            return cast(dict[str, str], await cast(Any, self.engines.redis).hgetall(name))

        name = self._name(model, key)
        return self.engines.run(read())
