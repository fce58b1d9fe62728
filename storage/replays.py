"""
Replays: what an Idempotency-Key stands for, in Redis, for 24 hours.

A key belongs to one call of one business. Whether that call still runs, and what it was
charged, is asked of the ledger and kept nowhere else: it runs while it holds credits, and
its reply is kept before it is settled. So a call that has ended without a reply was cut,
or its gateway died; it may be made anew unless it was charged.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from metering.money import Credits
from storage import redis_keys, transactions
from storage.database import Database
from storage.errors import CallInFlight, KeyReused, KeysExhausted, ReplyNotKept
from storage.ids import adjusted_id
from storage.scripts import Scripts

KEPT_MS = 24 * 3600 * 1000

# Between its claim and its hold a call is known to nobody but its gateway. That takes
# milliseconds; a hold that comes later than this is given back (`is_too_late`).
CLAIM_LASTS_S = 10.0

A_KEY_BYTES = 512  # Measured: Redis needs 304 for one without a reply; a sum is shared.

# Replies may not take the place of the keys themselves: without a reply a repeated call is
# refused, without its key it would be charged again.
KEYS_MORE = 1.25


class Name(NamedTuple):
    """
    What a caller calls this very call.

    Attributes:
        key: SHA-256 of its Idempotency-Key, in hexadecimal digits.
        asked: The same of all that it asks for.
    """

    key: str
    asked: str


class Claim(NamedTuple):
    """The key that a call has taken, as in `Name`, and the call."""

    key: str
    id: str


class Kept(NamedTuple):
    """The packed reply to the call that a key belongs to."""

    id: str
    reply: str


class Replays:
    """
    Keys and replies, within a budget.

    Args:
        business_max_bytes: The most that a business may begin in 24 hours.
        total_max_bytes: The same for all of them.
    """

    def __init__(
        self,
        scripts: Scripts,
        database: Database,
        *,
        business_max_bytes: int,
        total_max_bytes: int,
    ) -> None:
        self._scripts = scripts
        self._database = database
        self._business_max_bytes = business_max_bytes
        self._partition_max_bytes = total_max_bytes // redis_keys.PARTITIONS

    async def claim(self, *, business: str, name: Name, id: str) -> Kept | None:
        """
        Take the key for a call that is about to be made; the reply where there is one.

        Raises:
            RepeatRefused: One of its kinds; nothing may be forwarded.
            LedgerUnavailable, RecordsUnavailable: It is not known; nothing may be forwarded.
        """
        answer = await self._claim(business, name, id)
        if answer[0] == "ENDED":
            answer = await self._claim(business, name, id, instead_of=str(answer[1]))
        if answer[0] == "ENDED" and int(answer[2]) >= CLAIM_LASTS_S * 1000:
            # Redis has forgotten the answer of its settle; SQL has its row by then.
            ended = str(answer[1])
            charged = await self._charged(ended)
            if charged:
                raise _not_kept(ended, charged)
            answer = await self._claim(business, name, id, instead_of=ended, is_free=True)
        return _told(answer)

    async def keep(self, *, business: str, name: Name, id: str, reply: str) -> bool:
        """
        Keep the packed reply of a call that is not settled yet; whether it is kept.

        Raises:
            LedgerUnavailable: It may or may not be.
        """
        p = redis_keys.partition_of(business)
        keys = (
            redis_keys.replay(p, business, name.key),
            redis_keys.kept_of(p, business),
            redis_keys.kept(p),
        )
        most = (str(self._business_max_bytes), str(self._partition_max_bytes))
        answer = await self._scripts.call("keep", keys, (id, reply, str(KEPT_MS), *most))
        assert answer[0] != "BAD", "keep.lua was given an argument it does not accept"
        return answer[0] in ("OK", "SAME")

    async def unclaim(self, *, business: str, name: Name, id: str) -> None:
        """
        Let go of the key of a call that cost nothing.

        Raises:
            LedgerUnavailable: It may or may not be free.
        """
        p = redis_keys.partition_of(business)
        keys = (
            redis_keys.replay(p, business, name.key),
            redis_keys.kept_of(p, business),
            redis_keys.kept(p),
        )
        await self._scripts.call("unclaim", keys, (id, str(A_KEY_BYTES)))

    async def _claim(
        self, business: str, name: Name, id: str, *, instead_of: str = "", is_free: bool = False
    ) -> list[Any]:
        p = redis_keys.partition_of(business)
        keys = [
            redis_keys.replay(p, business, name.key),
            redis_keys.holds(p, business),
            redis_keys.kept_of(p, business),
            redis_keys.kept(p),
        ]
        if instead_of:
            keys.append(redis_keys.answer(p, instead_of))
            keys.append(redis_keys.answer(p, adjusted_id(instead_of)))
        most = (self._business_max_bytes * KEYS_MORE, self._partition_max_bytes * KEYS_MORE)
        arguments = (id, name.asked, instead_of, "free" if is_free else "")
        numbers = (KEPT_MS, A_KEY_BYTES, *most)
        answer = await self._scripts.call(
            "claim", keys, (*arguments, *(f"{number:.0f}" for number in numbers))
        )
        assert answer[0] != "BAD", "claim.lua was given an argument it does not accept"
        return answer

    async def _charged(self, id: str) -> Credits:
        """What the call was charged by its row, a late correction included."""
        charged = Credits(0)
        async with self._database.read() as connection:
            for row in (id, adjusted_id(id)):
                stored = await transactions.outcome_of(connection, row)
                charged = charged + (stored.credits_used if stored else Credits(0))
        return charged


def _told(answer: list[Any]) -> Kept | None:
    match answer[0]:
        case "OK":
            return None
        case "KEPT":
            return Kept(str(answer[1]), str(answer[2]))
        case "RUNNING" | "ENDED":  # Ended and young: it may be about to hold its credits.
            raise _in_flight(str(answer[1]))
        case "CHARGED":
            raise _not_kept(str(answer[1]), Credits(int(answer[2])))
        case "REUSED":
            raise KeyReused(
                "this Idempotency-Key was used for another request: the same body, byte for byte, "
                "and the same X- headers belong to it; use a new key for another request"
            )
        case "FULL":
            raise KeysExhausted(
                "as many Idempotency-Keys as are kept were used in the last 24 hours; "
                "send the call without one"
            )
    raise AssertionError(f"claim.lua gave an answer nobody knows: {answer[0]}")


def _not_kept(id: str, charged: Credits) -> ReplyNotKept:
    return ReplyNotKept(
        f"the call with this Idempotency-Key was charged {charged} credits and its reply is not "
        "kept, because it was cut or is too long; to make the call again, and pay for it, use a "
        "new key",
        metadata={"transaction_id": id, "credits_used": str(charged)},
    )


def _in_flight(id: str) -> CallInFlight:
    return CallInFlight(
        "the call with this Idempotency-Key is still under way; ask again in a moment, its reply "
        "will be the same and is charged once",
        metadata={"transaction_id": id},
    )
