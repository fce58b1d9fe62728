"""
Balances: hold, renew, settle, credit, expire, open, audit, read. The only caller of the scripts.

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
    AccountWrong,
    Audited,
    Balance,
    Expired,
    Hold,
    NoAccount,
    NoHold,
    NotCounted,
    Overdue,
    Settled,
    Unexpired,
    hold_from,
    refusal_of_hold,
    settled_from,
)
from storage.fenced import Fenced, corrupt
from storage.limits import MOST_PER_MINUTE, KeyLimits
from storage.movements import CreditEvent
from storage.partitions import Partitions
from storage.replays import Claim
from storage.scripts import Scripts
from storage.snapshots import AccountSnapshot

__all__ = ["Balance", "Balances", "Hold", "NoAccount", "NoHold", "NotCounted", "Overdue", "Settled"]


class Balances:
    """The ledger of every business, in Redis."""

    def __init__(self, redis: Redis, scripts: Scripts, partitions: Partitions) -> None:
        self._redis = redis
        self._partitions = partitions
        self._scripts = scripts
        self._fenced = Fenced(scripts, partitions)

    async def hold(
        self,
        *,
        business: str,
        id: str,
        ceiling: Credits,
        floor: Credits,
        lease_s: float,
        note: str,
        limits: KeyLimits | None = None,
        tokens: int = 0,
    ) -> Hold:
        """
        Set aside the ceiling, or what is affordable down to the floor.

        Args:
            note: The row to store if this process dies, as JSON.
            limits: Those of the key that calls; None when it has none.
            tokens: What the call may use at the most; counts where the key has limits.

        Raises:
            NoAccount: Open it, then ask again.
            NotCounted: Have `count` say what the key has spent, then ask again.
            LedgerRefusal: One of its kinds; nothing was held.
            LedgerUnavailable: It may or may not have been held.
        """
        p = redis_keys.partition_of(business)
        keys = _keys_of_call(p, business, id)
        arguments: tuple[str, ...] = (
            business,
            id,
            _text(ceiling),
            _text(floor),
            _milliseconds(lease_s),
            note,
        )
        if limits is not None:
            keys = (*keys, redis_keys.limits(p, limits.key))
            arguments = (*arguments, *limits.arguments(tokens))
        answer = await self._fenced.ask("hold", p, keys, arguments)
        if answer[0] in ("OK", "SAME"):
            return hold_from(answer, id=id, business=business, limits=limits)
        raise refusal_of_hold(answer, ceiling, floor, limits)

    async def renew(
        self, *, business: str, id: str, lease_s: float, metered: Credits, is_exact: bool = False
    ) -> bool:
        """
        Extend a call's lease and note what it has cost so far; False when it is gone.

        With `is_exact` it has ended and this is its price: a higher figure gives way.
        """
        p = redis_keys.partition_of(business)
        keys = (redis_keys.meta(p), redis_keys.holds(p, business), redis_keys.deadlines(p))
        exact = ("exact",) if is_exact else ()
        arguments = (business, id, _milliseconds(lease_s), _text(metered), *exact)
        answer = await self._fenced.ask("renew", p, keys, arguments)
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
        key: str | None = None,
        tokens: int | None = None,
        claim: Claim | None = None,
    ) -> Settled:
        """
        Charge a hold, return the rest of it, and put its row into the outbox.

        Args:
            row: The transaction's columns that the ledger does not know, as JSON.
            granted: What had been held, for the row, where no hold is left.
            adopt: Go on without a hold; only then may the amount be negative.
            key: Whose cap a charge without a hold counts towards.
            tokens: What the call used, where its key has limits; the rest is given back.
            claim: Without a hold nothing is charged once another call has this claim's key.

        Raises:
            NoHold: Neither a hold nor an answer has this id; nothing was changed.
            NoAccount: The account is not open in this epoch.
            LedgerUnavailable: Ask again with the same id.
        """
        mode, held = "adopt" if adopt else "settle", _text(granted or Credits(0))
        used = "" if tokens is None else str(max(0, min(tokens, MOST_PER_MINUTE - 1)))
        arguments = [_text(amount), mode, outcome, held, row, used]
        p, more = redis_keys.partition_of(business), []
        if adopt and key is not None:
            more.append(redis_keys.limits(p, key))
        if adopt and claim is not None:
            more.append(redis_keys.replay(p, business, claim.key))
            arguments.append(claim.id)
        settled = await self._settle(business, id, arguments, more)
        assert settled is not None, "only a sweep finds a hold alive"
        return settled

    async def sweep(self, *, business: str, id: str) -> Settled | None:
        """Settle a hold whose lease has ended at its checkpoint; None while it is alive."""
        return await self._settle(business, id, ("0", "sweep", "orphaned", "0", ""))

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
            str(event.ended_at_ms),
        )
        answer = await self._fenced.ask("credit", p, keys, arguments)
        return str(answer[0])

    async def expire(self, business: str, *, credit_seq: int) -> Expired | Unexpired:
        """
        Book what is available as expired, if its time has come by the clock of Redis.

        What is held is left; ask again once its calls are settled.

        Args:
            credit_seq: As SQL had it when it found the balance expired.

        Raises:
            NoAccount: Open it, then ask again.
        """
        p = redis_keys.partition_of(business)
        keys = (redis_keys.meta(p), redis_keys.account(p, business), redis_keys.outbox(p))
        answer = await self._fenced.ask("expire", p, keys, (business, str(credit_seq)))
        return Expired(Credits(answer[2])) if answer[0] == "OK" else Unexpired(answer[0])

    async def audit(self, business: str) -> Audited:
        """
        Check the shape of an account against its open holds; freeze it when it is wrong.

        Raises:
            AccountWrong: It was, and is frozen now.
            LedgerUnavailable: It is frozen since before, or Redis does not answer.
            NoAccount: It is not open in this epoch.
        """
        p = redis_keys.partition_of(business)
        keys = (redis_keys.meta(p), redis_keys.account(p, business), redis_keys.holds(p, business))
        answer = await self._fenced.ask("audit", p, keys, (business,))
        if answer[0] == "WRONG":
            raise AccountWrong(business, str(answer[2]))
        total, held, owed, *counted = answer[2:]
        return Audited(Credits(total), Credits(held), Credits(owed), *counted)

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
        answer = await self._fenced.ask("open", p, keys, arguments)
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
            raise corrupt(p) from None
        return Balance(
            Credits(total), Credits(held), Credits(owed), credit_seq, expires_at_ms, found[6]
        )

    async def overdue(self, partition: int, *, skip: int = 0, limit: int = 100) -> list[Overdue]:
        """Holds whose lease has ended by the clock of Redis, the oldest first."""
        keys, arguments = (redis_keys.deadlines(partition),), (str(skip), str(limit))
        members: list[str] = await self._scripts.call("overdue", keys, arguments)
        return [Overdue(*member.split(":", 1)) for member in members]

    async def _settle(
        self, business: str, id: str, arguments: Sequence[str], more: Sequence[str] = ()
    ) -> Settled | None:
        p = redis_keys.partition_of(business)
        keys = (*_keys_of_call(p, business, id), redis_keys.outbox(p), *more)
        answer = await self._fenced.ask("settle", p, keys, (business, id, *arguments))
        if answer[0] == "OK":
            return settled_from(answer[2:], is_new=True)
        if answer[0] == "DONE":
            return settled_from(answer[2].split(" "), is_new=False)
        if answer[0] == "ALIVE":
            return None
        raise NoHold(id)


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
