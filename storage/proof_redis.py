"""What Redis says of businesses whose ledger is to be proved: accounts, holds, the outbox."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from redis.exceptions import RedisError

from storage import redis_keys, scripts
from storage.errors import LedgerUnavailable
from storage.proof_facts import Account, Waiting

NUMBERS = ("epoch", "total", "held", "owed", "seq", "credit_seq")
PAGE = 1000  # Entries of one outbox in one answer, about a megabyte.


async def accounts(redis: Any, businesses: Sequence[str]) -> dict[str, Account]:
    """
    The accounts that are open in the epoch of their partition, each with its holds.

    Each is of one moment; they are not all of the same one.

    Raises:
        LedgerUnavailable: Redis does not answer.
    """
    pipeline = redis.pipeline(transaction=False)
    for business in businesses:
        p = redis_keys.partition_of(business)
        keys = (
            redis_keys.meta(p),
            redis_keys.account(p, business),
            redis_keys.holds(p, business),
            redis_keys.deadlines(p),
        )
        pipeline.eval(_look(), len(keys), *keys, business)
    answers = await _answered(pipeline)
    found = zip(businesses, map(account_of, answers), strict=True)
    return {business: account for business, account in found if account is not None}


@cache
def _look() -> str:
    return scripts.load("look").text


def account_of(answer: Sequence[Any]) -> Account | None:
    """What `look.lua` answered; None for an account that is not of its partition's epoch."""
    epoch, fields, holds, granted, unreadable, no_deadline = answer
    said = dict(zip(fields[::2], fields[1::2], strict=True))
    if not said or said.get("epoch") != epoch:
        return None
    numbers = {name: _whole(said.get(name)) for name in NUMBERS}
    wrong = [name for name, number in numbers.items() if number is None]
    return Account(
        **{name: number or 0 for name, number in numbers.items()},
        holds=holds,
        granted=int(granted),
        unreadable=(*wrong, *unreadable),
        no_deadline=tuple(no_deadline),
    )


async def waiting(redis: Any, businesses: Collection[str]) -> dict[str, list[Waiting]]:
    """
    The entries of the outbox that are of these businesses.

    What is appended while we read may be left out: nobody waits for its end here.

    Raises:
        LedgerUnavailable: Redis does not answer.
    """
    found: dict[str, list[Waiting]] = {business: [] for business in businesses}
    partitions = {redis_keys.partition_of(business) for business in businesses}
    left = await _ends(redis, partitions)
    start = dict.fromkeys(left, "-")
    while left:
        pipeline = redis.pipeline(transaction=False)
        for p, end in left.items():
            pipeline.xrange(redis_keys.outbox(p), start[p], end, count=PAGE)
        for p, entries in zip(list(left), await _answered(pipeline), strict=True):
            for entry_id, fields in entries:
                business = (fields or {}).get("business")
                if business in found:
                    found[business].append(waiting_of(fields, place=f"outbox {p} {entry_id}"))
            if len(entries) < PAGE:
                del left[p]
            else:
                start[p] = f"({entries[-1][0]}"
    return found


async def _ends(redis: Any, partitions: Collection[int]) -> dict[int, str]:
    """The newest entry of each outbox that is not empty."""
    pipeline = redis.pipeline(transaction=False)
    for p in partitions:
        pipeline.xrevrange(redis_keys.outbox(p), count=1)
    newest = zip(partitions, await _answered(pipeline), strict=True)
    return {p: entries[0][0] for p, entries in newest if entries}


def waiting_of(fields: Mapping[str, str], *, place: str, is_buried: bool = False) -> Waiting:
    """An entry, as far as it can be read; one without a seq counts nowhere."""
    amount = _signed(fields.get("charged" if fields.get("kind") == "transaction" else "amount"))
    seq = _whole(fields.get("seq"))
    return Waiting(
        id=fields.get("id", ""),
        place=place,
        epoch=_whole(fields.get("epoch")) or 0,
        seq=10**18 if seq is None else seq,
        change=None if amount is None else -amount,
        owed=_signed(fields.get("owed_delta")) or 0,
        answers=fields.get("reference", ""),
        is_buried=is_buried,
    )


def _whole(text: str | None) -> int | None:
    """As `prelude.lua` reads a number: a plain decimal of at most 15 digits."""
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 15:
        return None
    return int(text) if text == "0" or text[0] != "0" else None


def _signed(text: str | None) -> int | None:
    if text is not None and text.startswith("-"):
        number = _whole(text[1:])
        return None if number is None else -number
    return _whole(text)


async def _answered(pipeline: Any) -> list[Any]:
    try:
        answers: list[Any] = await pipeline.execute()
    except (RedisError, OSError) as error:
        raise LedgerUnavailable(
            f"Redis did not answer ({type(error).__name__}: {str(error)[:200]})",
            reason="unreachable",
        ) from error
    return answers
