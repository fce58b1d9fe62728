"""The rules of the ledger machine for money in: bought, taken back, configured, applied."""

from __future__ import annotations

from itertools import count
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from metering.money import Credits
from storage import businesses, movements, purchases
from tests.laws.ledger_engines import Engines, now
from tests.laws.ledger_model import Model

AMOUNTS = st.one_of(
    st.integers(0, 30), st.integers(0, 5_000_000), st.sampled_from([1, 10**12, 10**14 + 1])
)


class MoneyIn(RuleBasedStateMachine):
    """Two businesses, and how credits reach their accounts or leave them: SQL → Redis."""

    engines: Engines

    def __init__(self) -> None:
        super().__init__()
        self.models = [Model(self._business()) for _ in range(2)]
        self.references = count()

    def _business(self) -> str:
        async def add() -> str:
            async with self.engines.database.write() as connection:
                made = await businesses.add(
                    connection, name="Acme", owner_email="a@example.com", at=now()
                )
            await self.engines.accounts.open(made.id)
            return made.id

        return self.engines.run(add())

    @rule(which=st.integers(0, 1), credits=AMOUNTS, bonus=AMOUNTS)
    def top_up(self, which: int, credits: int, bonus: int) -> None:
        model = self.models[which]
        if credits + bonus == 0 or model.bought + credits + bonus > 10**15 - 1:
            return

        async def buy() -> bool:
            async with self.engines.database.write() as connection:
                row = await businesses.ledger_row(connection, model.business)
                await purchases.top_up(
                    connection,
                    business=model.business,
                    credits=Credits(credits),
                    bonus=Credits(bonus),
                    reference=f"{model.business}-{next(self.references)}",
                    at=now(),
                )
                return row.is_active and row.has_expired(now())

        ends = self.engines.run(buy())
        model.bought += credits + bonus
        for amount in filter(None, (credits, bonus)):
            model.writes("add", amount, ends=ends)
            ends = False  # What the first of them has booked, the second finds anew.

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
                    at=now(),
                )

        self.engines.run(take())
        model.writes("take", amount)

    @rule(which=st.integers(0, 1), status=st.sampled_from(["active", "suspended"]))
    def set_status(self, which: int, status: Any) -> None:
        model = self.models[which]

        async def change() -> None:
            async with self.engines.database.write() as connection:
                await businesses.set_status(connection, model.business, status=status, at=now())

        self.engines.run(change())
        if status != model.written_status:
            model.written_status = status
            model.writes("configure")

    @rule(which=st.integers(0, 1), low_at=AMOUNTS)
    def set_threshold(self, which: int, low_at: int) -> None:
        model = self.models[which]

        async def change() -> None:
            fields = {"low_balance_threshold": Credits(low_at)}
            async with self.engines.database.write() as connection:
                await businesses.change(connection, model.business, fields, at=now())

        self.engines.run(change())
        if low_at != model.written_low_at:
            model.written_low_at = low_at
            model.writes("configure")

    @rule(which=st.integers(0, 1))
    def apply(self, which: int) -> None:
        model = self.models[which]
        self.engines.run(self.engines.crediting.apply(model.business))
        model.applies_all()

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
