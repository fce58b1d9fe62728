"""The rules of the ledger machine for calls: held, renewed, settled, adopted, swept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from metering.money import Credits
from storage import redis_keys
from storage.balances import NoHold
from storage.errors import (
    BusinessSuspended,
    CreditsExpired,
    CreditsOwed,
    InsufficientCredits,
    LedgerRefusal,
)
from storage.ids import new_id
from storage.limits import KeyLimits
from tests.laws.ledger_model import Key, Model
from tests.laws.ledger_money_in import AMOUNTS, MoneyIn

ASKED_MOST = 10_000  # Leases of a millisecond have ended long before.
ROW = (
    '{"key_id":null,"user":null,"feature":null,"endpoint":"chat.completions","model":"m",'
    '"usage":{},"usage_source":"none","estimated":false,"cost_pico":"0","tokens_used":0,'
    '"started_at_ms":1,"success":true,"http_status":200,"processing_ms":1,"first_byte_ms":1,'
    '"price_version":"v","upstream_request_id":null,"adjusts":null}'
)


def row_of(key: Key | None) -> str:
    """The row of a call that a key made."""
    return ROW.replace('"key_id":null', f'"key_id":"{key.id}"') if key else ROW


class Calls(MoneyIn):
    """Two businesses whose callers ask, repeat themselves, and vanish."""

    @rule(which=st.integers(0, 1), ceiling=AMOUNTS, slack=AMOUNTS, dies=st.booleans())
    def hold(self, which: int, ceiling: int, slack: int, dies: bool) -> None:
        model, id = self.models[which], new_id()
        floor = max(0, ceiling - slack)
        refused = self._ask_hold(model, id, ceiling, floor, lease_s=0.001 if dies else 600)
        granted = min(ceiling, model.available)
        expected: type[LedgerRefusal] | None = None
        if model.status == "suspended":
            expected = BusinessSuspended
        elif model.owed:
            expected = CreditsOwed
        elif model.has_ended:
            expected = CreditsExpired
        elif granted < floor:
            expected = InsufficientCredits
        assert (refused is None) if expected is None else isinstance(refused, expected)
        if expected is None:
            model.held += granted
            model.holds[id] = (granted, 0)
            if dies:
                model.dying.add(id)

    def _ask_hold(
        self,
        model: Model,
        id: str,
        ceiling: int,
        floor: int,
        *,
        lease_s: float,
        note: str = ROW,
        limits: KeyLimits | None = None,
    ) -> LedgerRefusal | None:
        hold = self.engines.balances.hold(
            business=model.business,
            id=id,
            ceiling=Credits(ceiling),
            floor=Credits(floor),
            lease_s=lease_s,
            note=note,
            limits=limits,
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
        available = model.most(id)
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
        key = model.called_by.get(id)
        return self.engines.run(
            self.engines.balances.settle(
                business=model.business,
                id=id,
                amount=Credits(amount),
                outcome="settled",
                row=row_of(key),
                adopt=adopt,
                key=key.id if key else None,
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
