"""
Balances: hold, renew, settle, credit, open, read. The only caller of the scripts.

A business's money is decided here and nowhere else; `storage/lua` has the contracts of
what each verb does. Amounts are `Credits`; ids of holds are those of the transactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from metering.money import Credits
from storage import redis_keys
from storage.answers import (
    Balance,
    Hold,
    NoAccount,
    NoHold,
    Overdue,
    Settled,
    refusal_of_hold,
    settled_from,
)
from storage.errors import ACCOUNT_FROZEN, LedgerCorrupt, LedgerUnavailable
from storage.movements import AccountSnapshot, CreditEvent
from storage.partitions import Partitions
from storage.scripts import Scripts

__all__ = ["Balance", "Balances", "Hold", "NoAccount", "NoHold", "Overdue", "Settled"]


class Balances:
    """The ledger of every business, in Redis."""

    def __init__(self, redis: Redis, scripts: Scripts, partitions: Partitions) -> None:
        self._redis = redis
        self._scripts = scripts
        self._partitions = partitions

    async def hold(
        self,
        *,
        business: str,
        id: str,
        ceiling: Credits,
        floor: Credits,
        lease_s: float,
        note: str,
    ) -> Hold:
        """
        Set aside the ceiling, or what is affordable down to the floor.

        Args:
            note: The row to store if this process dies, as JSON.

        Raises:
            NoAccount: Open it, then ask again.
            LedgerRefusal: One of its kinds; nothing was held.
            LedgerUnavailable: It may or may not have been held.
        """
        p = redis_keys.partition_of(business)
        keys = _keys_of_call(p, business, id)
        arguments = (business, id, _text(ceiling), _text(floor), _milliseconds(lease_s), note)
        answer = await self._ask("hold", p, keys, arguments)
        if answer[0] in ("OK", "SAME"):
            granted, available = Credits(answer[2]), Credits(answer[3])
            return Hold(id, business, granted, available, is_new=answer[0] == "OK")
        raise refusal_of_hold(answer, ceiling, floor)

    async def renew(self, *, business: str, id: str, lease_s: float, metered: Credits) -> bool:
        """Extend a running call's lease and note its cost so far; False when it is gone."""
        p = redis_keys.partition_of(business)
        keys = (redis_keys.meta(p), redis_keys.holds(p, business), redis_keys.deadlines(p))
        arguments = (business, id, _milliseconds(lease_s), _text(metered))
        answer = await self._ask("renew", p, keys, arguments)
        return bool(answer[0] == "OK")

    async def settle(
        self,
        *,
        business: str,
        id: str,
        amount: Credits,
        outcome: str,
        row: str,
        granted: Credits | None = None,
        adopt: bool = False,
    ) -> Settled:
        """
        Charge a hold, return the rest of it, and put its row into the outbox.

        Args:
            row: The transaction's columns that the ledger does not know, as JSON.
            granted: What had been held, for the row, where no hold is left.
            adopt: Go on without a hold; only then may the amount be negative.

        Raises:
            NoHold: Neither a hold nor an answer has this id; nothing was changed.
            NoAccount: The account is not open in this epoch.
            LedgerUnavailable: Ask again with the same id.
        """
        mode = "adopt" if adopt else "settle"
        settled = await self._settle(
            business, id, amount, mode=mode, outcome=outcome, granted=granted, row=row
        )
        assert settled is not None, "only a sweep finds a hold alive"
        return settled

    async def sweep(self, *, business: str, id: str) -> Settled | None:
        """Settle a hold whose lease has ended at its checkpoint; None while it is alive."""
        return await self._settle(
            business, id, Credits(0), mode="sweep", outcome="orphaned", granted=None, row=""
        )

    async def credit(self, event: CreditEvent) -> str:
        """
        Apply a credit event.

        Returns:
            `OK`, `APPLIED` when it was applied before, or `GAP` when an earlier one of
            the business is missing.

        Raises:
            NoAccount: Opening the account applies every event that SQL knows.
        """
        p = redis_keys.partition_of(event.business)
        keys = (redis_keys.meta(p), redis_keys.account(p, event.business), redis_keys.outbox(p))
        arguments = (
            event.business,
            event.id,
            str(event.credit_seq),
            event.verb,
            _text(event.amount),
            str(event.expires_at_ms),
            _text(event.low_at),
            event.status,
        )
        answer = await self._ask("credit", p, keys, arguments)
        return str(answer[0])

    async def open(self, snapshot: AccountSnapshot) -> bool:
        """Create the account from what SQL knows; False when it is open already."""
        p = redis_keys.partition_of(snapshot.business)
        keys = (
            redis_keys.meta(p),
            redis_keys.account(p, snapshot.business),
            redis_keys.holds(p, snapshot.business),
        )
        arguments = (
            _text(snapshot.total),
            _text(snapshot.owed),
            str(snapshot.seq),
            str(snapshot.credit_seq),
            str(snapshot.expires_at_ms),
            _text(snapshot.low_at),
            str(snapshot.alerted),
            snapshot.status,
        )
        answer = await self._ask("open", p, keys, arguments)
        return bool(answer[0] == "OK")

    async def read(self, business: str) -> Balance:
        """
        The balance as it is now.

        Raises:
            NoAccount: It is not open in this epoch.
            LedgerUnavailable: Redis does not answer, or the partition is frozen.
        """
        p = redis_keys.partition_of(business)
        epoch = self._partitions.epoch(p)
        fields = ("epoch", "total", "held", "owed", "credit_seq", "expires_at_ms", "status")
        answer: Any = self._redis.hmget(redis_keys.account(p, business), fields)
        found: list[Any] = await self._partitions.asking(answer)
        if found[0] != str(epoch):
            raise NoAccount(business)
        try:
            total, held, owed, credit_seq, expires_at_ms = (int(field) for field in found[1:6])
        except (TypeError, ValueError):
            raise _corrupt(p) from None
        return Balance(
            Credits(total), Credits(held), Credits(owed), credit_seq, expires_at_ms, found[6]
        )

    async def overdue(self, partition: int, *, skip: int = 0, limit: int = 100) -> list[Overdue]:
        """Holds whose lease has ended by the clock of Redis, the oldest first."""
        seconds, micros = await self._partitions.asking(self._redis.time())
        now_ms = seconds * 1000 + micros // 1000
        answer: Any = self._redis.zrangebyscore(
            redis_keys.deadlines(partition), "-inf", now_ms, start=skip, num=limit
        )
        members: list[str] = await self._partitions.asking(answer)
        return [Overdue(*member.split(":", 1)) for member in members]

    async def _settle(
        self,
        business: str,
        id: str,
        amount: Credits,
        *,
        mode: str,
        outcome: str,
        granted: Credits | None,
        row: str,
    ) -> Settled | None:
        p = redis_keys.partition_of(business)
        keys = (*_keys_of_call(p, business, id), redis_keys.outbox(p))
        held = _text(granted or Credits(0))
        arguments = (business, id, _text(amount), mode, outcome, held, row)
        answer = await self._ask("settle", p, keys, arguments)
        if answer[0] == "OK":
            return settled_from(answer[2:], is_new=True)
        if answer[0] == "DONE":
            return settled_from(answer[2].split(" "), is_new=False)
        if answer[0] == "ALIVE":
            return None
        raise NoHold(id)

    async def _ask(
        self, script: str, partition: int, keys: Sequence[str], arguments: Sequence[str]
    ) -> list[Any]:
        """Call a script under the partition's epoch and look at what every answer may say."""
        epoch = self._partitions.epoch(partition)
        seen = self._partitions.counter(partition)
        answer = await self._scripts.call(script, keys, (str(epoch), *arguments))
        word = answer[0]
        if word in ("STALE_EPOCH", "FROZEN"):
            raise await self._partitions.refused(partition, word, str(answer[2]))
        await self._partitions.note(partition, seen_when_asked=seen, counter=answer[1])
        if word == "NO_ACCOUNT":
            raise NoAccount(arguments[0])
        if word == "ACCOUNT_FROZEN":
            raise LedgerUnavailable(f"an account is frozen: {answer[2]}", reason=ACCOUNT_FROZEN)
        if word == "CORRUPT":
            raise _corrupt(partition)
        assert word != "BAD", f"{script}.lua was given an argument it does not accept"
        return answer


def _corrupt(partition: int) -> LedgerCorrupt:
    return LedgerCorrupt(
        f"the account of a business in partition {partition} holds what no script writes"
    )


def _keys_of_call(partition: int, business: str, id: str) -> tuple[str, ...]:
    return (
        redis_keys.meta(partition),
        redis_keys.account(partition, business),
        redis_keys.holds(partition, business),
        redis_keys.deadlines(partition),
        redis_keys.answer(partition, id),
    )


def _text(amount: Credits) -> str:
    return str(amount.micro)


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
