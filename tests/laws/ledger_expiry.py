"""The rules of the ledger machine for time: balances end, are booked, and are audited."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule
from sqlalchemy import update

from metering.money import Credits
from storage import businesses, redis_keys
from storage.answers import Expired, Unexpired
from storage.movements import as_ms
from storage.tables import business_ai_credits
from tests.laws.ledger_calls import Calls
from tests.laws.ledger_engines import now
from tests.laws.ledger_model import Model


class Ends(Calls):
    """Two businesses whose balances do not last for ever."""

    @rule(which=st.integers(0, 1))
    def six_months_go_by(self, which: int) -> None:
        """Time is given: what was bought lasted until yesterday."""
        self.apply(which)
        model = self.models[which]
        yesterday = now() - timedelta(days=1)

        async def go_by() -> bool:
            async with self.engines.database.write() as connection:
                row = await businesses.ledger_row(connection, model.business)
                if row.expires_at is None:
                    return False
                await connection.execute(
                    update(business_ai_credits)
                    .where(business_ai_credits.c.id == row.id)
                    .values(expires_at=yesterday)
                )
            redis: Any = self.engines.redis
            account = redis_keys.account(redis_keys.partition_of(model.business), model.business)
            await redis.hset(account, "expires_at_ms", str(as_ms(yesterday)))
            return True

        model.has_ended |= self.engines.run(go_by())

    @rule(which=st.integers(0, 1))
    def expire(self, which: int) -> None:
        """As SQL found it: an event that Redis lacks comes first, and nothing changes."""
        model = self.models[which]
        answer = self._ask_expire(model, model.credit_seq + len(model.pending))
        if model.pending:
            assert answer is Unexpired.BEHIND
        else:
            self._was_expired(model, answer)

    @rule(which=st.integers(0, 1))
    def expire_what_was_found_before_the_last_events(self, which: int) -> None:
        """SQL was asked, and wrote events before Redis was."""
        model = self.models[which]
        self._was_expired(model, self._ask_expire(model, model.credit_seq))

    @rule(which=st.integers(0, 1))
    def expire_as_the_loop_does(self, which: int) -> None:
        """What is missing is applied, and then it is asked again."""
        model = self.models[which]
        found = model.credit_seq + len(model.pending)
        answer = self.engines.run(self.engines.expiry.expire(model.business, credit_seq=found))
        model.applies_all()
        self._was_expired(model, answer or Unexpired.NOT_YET)

    def _ask_expire(self, model: Model, credit_seq: int) -> Expired | Unexpired:
        return self.engines.run(self.engines.balances.expire(model.business, credit_seq=credit_seq))

    def _was_expired(self, model: Model, answer: Expired | Unexpired) -> None:
        if model.has_ended:
            assert answer == Expired(Credits(model.expires()))
        else:
            assert answer is Unexpired.NOT_YET

    @rule(which=st.integers(0, 1))
    def audit(self, which: int) -> None:
        """L1: there is never anything to be found."""
        model = self.models[which]
        audited = self.engines.run(self.engines.balances.audit(model.business))
        figures = (audited.total.micro, audited.held.micro, audited.owed.micro)
        assert figures == (model.total, model.held, model.owed)
        assert (audited.credit_seq, audited.holds) == (model.credit_seq, len(model.holds))
