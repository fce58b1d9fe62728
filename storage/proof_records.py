"""What SQL says of businesses whose ledger is to be proved: sums, and the rows that matter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Select, and_, func, select, values
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import column
from sqlalchemy.sql.selectable import CTE

from storage.proof_facts import Account, Before, Receipt, Records, Take
from storage.redis_keys import partition_of
from storage.tables import (
    Id,
    ai_credit_purchases,
    ai_transactions,
    business_ai_credits,
    businesses,
    credit_movements,
    ledger_partitions,
)

ALL = 10**18
"""Above every seq: where Redis has no account, every row counts."""


async def page(connection: AsyncConnection, *, after: str | None, limit: int) -> list[str]:
    """Ids of businesses, the oldest first."""
    query = select(businesses.c.id).order_by(businesses.c.id).limit(limit)
    if after is not None:
        query = query.where(businesses.c.id > after)
    return list((await connection.execute(query)).scalars())


async def count(connection: AsyncConnection, *, after: str | None) -> int:
    """How many businesses `page` will list."""
    query = select(func.count()).select_from(businesses)
    if after is not None:
        query = query.where(businesses.c.id > after)
    return int((await connection.execute(query)).scalar_one())


async def before(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Before]:
    """What is recorded of each now; ask it before Redis."""
    valid = await connection.execute(
        select(ledger_partitions.c.partition, ledger_partitions.c.epoch)
    )
    epochs = {row.partition: row.epoch for row in valid}
    found = await _by_business(connection, _balances(ids))
    return {
        id: Before(
            epochs.get(partition_of(id), 1),
            found[id].epoch if id in found else 0,
            found[id].seq if id in found else 0,
        )
        for id in ids
    }


async def look(
    connection: AsyncConnection, ids: Sequence[str], accounts: Mapping[str, Account]
) -> dict[str, Records]:
    """
    What is recorded of each after Redis was read.

    Args:
        connection: In a transaction that sees one moment.
        accounts: What Redis said; a business that is missing has no account.
    """
    looked = _looked(ids, accounts)
    balances = await _by_business(connection, _balances(ids))
    charged = await _by_business(connection, _charged(looked))
    moved = await _by_business(connection, _moved(looked))
    doubled = await _grouped(connection, _doubled(ids))
    taken = await _grouped(connection, _takes_and_answers(ids))
    receipts = await _grouped(connection, _receipts(ids))
    credited = await _grouped(connection, _credited(ids))
    shared = await _grouped(connection, _shared_references(ids))
    records = {}
    for id in ids:
        account = accounts.get(id)
        seq = account.seq if account else ALL
        balance, calls, moves = balances.get(id), charged[id], moved[id]
        owed_moved, later_owed = _owed(taken[id], seq)
        lowest = [each for each in (calls.lowest, moves.lowest) if each is not None]
        records[id] = Records(
            has_balance=balance is not None,
            balance=int(balance.balance) if balance else 0,
            owed=int(balance.owed) if balance else 0,
            seq=balance.seq if balance else 0,
            credit_seq=balance.credit_seq if balance else 0,
            moved=int(moves.moved),
            charged=int(calls.charged),
            rows=calls.rows + moves.rows,
            lowest=min(lowest, default=None),
            later=int(moves.later) - int(calls.later),
            later_owed=later_owed,
            to_come=int(moves.to_come),
            owed_moved=owed_moved,
            events=moves.events,
            last_event=moves.last_event,
            doubled=tuple(each for row in doubled[id] for each in (row.call, row.movement)),
            same_reference=tuple(row.id for row in shared[id]),
            stray=_stray(receipts[id], credited[id]),
            takes=_takes(taken[id]),
            receipts=_paid(receipts[id], credited[id]),
        )
    return records


def cte(name: str, rows: Iterable[tuple[Any, ...]], **columns: Any) -> CTE:
    """Rows of ours as a table that a query can join."""
    named = (column(title, kind) for title, kind in columns.items())
    return values(*named, name=f"{name}_values").data(list(rows)).cte(name)


async def _by_business(connection: AsyncConnection, query: Select[Any]) -> dict[str, Any]:
    return {row.business_id: row for row in await connection.execute(query)}


async def _grouped(connection: AsyncConnection, query: Select[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in await connection.execute(query):
        found[row.business_id].append(row)
    return found


def _looked(ids: Sequence[str], accounts: Mapping[str, Account]) -> CTE:
    """Each business with the seq and the credit_seq that its account was at."""
    at = (accounts.get(id) for id in ids)
    seqs = ((each.seq, each.credit_seq) if each else (ALL, ALL) for each in at)
    rows = ((id, *both) for id, both in zip(ids, seqs, strict=True))
    return cte("looked", rows, business=Id, seq=BigInteger, credit_seq=BigInteger)


def _balances(ids: Sequence[str]) -> Select[Any]:
    """Over all rows of a business: its counters never restart, and are highest in the last."""
    row = business_ai_credits.c
    return (
        select(
            row.business_id,
            func.sum(row.balance_microcredits).label("balance"),
            func.sum(row.owed_microcredits).label("owed"),
            func.max(row.epoch).label("epoch"),
            func.max(row.seq).label("seq"),
            func.max(row.credit_seq).label("credit_seq"),
        )
        .where(row.business_id.in_(ids))
        .group_by(row.business_id)
    )


def _charged(looked: CTE) -> Select[Any]:
    row = ai_transactions.c
    used = func.sum(row.credits_used_microcredits)
    return (
        select(
            looked.c.business.label("business_id"),
            func.count(row.seq).filter(row.seq <= looked.c.seq).label("rows"),
            func.min(row.seq).label("lowest"),
            func.coalesce(used, 0).label("charged"),
            func.coalesce(used.filter(row.seq > looked.c.seq), 0).label("later"),
        )
        .select_from(looked)
        .join(ai_transactions, row.business_id == looked.c.business, isouter=True)
        .group_by(looked.c.business)
    )


def _moved(looked: CTE) -> Select[Any]:
    row = credit_movements.c
    amount, requested = func.sum(row.amount_microcredits), func.sum(row.requested_microcredits)
    is_to_come = and_(row.requested_microcredits > 0, row.credit_seq > looked.c.credit_seq)
    return (
        select(
            looked.c.business.label("business_id"),
            func.count(row.seq).filter(row.seq <= looked.c.seq).label("rows"),
            func.min(row.seq).label("lowest"),
            func.coalesce(amount, 0).label("moved"),
            func.coalesce(amount.filter(row.seq > looked.c.seq), 0).label("later"),
            func.coalesce(requested.filter(is_to_come), 0).label("to_come"),
            func.count(row.credit_seq).label("events"),
            func.coalesce(func.max(row.credit_seq), 0).label("last_event"),
        )
        .select_from(looked)
        .join(credit_movements, row.business_id == looked.c.business, isouter=True)
        .group_by(looked.c.business)
    )


def _doubled(ids: Sequence[str]) -> Select[Any]:
    """Calls and movements that share a seq; within a table SQL does not let them."""
    call, movement = ai_transactions.c, credit_movements.c
    same = and_(call.business_id == movement.business_id, call.seq == movement.seq)
    return (
        select(call.business_id, call.id.label("call"), movement.id.label("movement"))
        .join(credit_movements, same)
        .where(movement.business_id.in_(ids), movement.seq.is_not(None))
    )


def _takes_and_answers(ids: Sequence[str]) -> Select[Any]:
    row = credit_movements.c
    is_either = (row.requested_microcredits < 0) | (row.kind == "taken_back")
    return select(credit_movements).where(row.business_id.in_(ids), is_either)


def _receipts(ids: Sequence[str]) -> Select[Any]:
    row = ai_credit_purchases.c
    bought = (row.credits_purchased_microcredits + row.bonus_credits_microcredits).label("bought")
    return select(row.business_id, row.id, row.payment_status, bought).where(
        row.business_id.in_(ids)
    )


def _credited(ids: Sequence[str]) -> Select[Any]:
    row = credit_movements.c
    return (
        select(row.business_id, row.reference, func.sum(row.amount_microcredits).label("credited"))
        .where(row.business_id.in_(ids), row.kind.in_(("purchase", "bonus")))
        .group_by(row.business_id, row.reference)
    )


def _shared_references(ids: Sequence[str]) -> Select[Any]:
    one, other = ai_credit_purchases.alias(), ai_credit_purchases.alias()
    same = and_(
        one.c.provider == other.c.provider,
        one.c.payment_reference == other.c.payment_reference,
        one.c.id != other.c.id,
    )
    return select(one.c.business_id, one.c.id).join(other, same).where(one.c.business_id.in_(ids))


def _owed(rows: Sequence[Any], seq: int) -> tuple[int, int]:
    """What is owed according to the movements, and the part of it after `seq`."""
    deltas = [(int(row.event.get("owed_delta", 0)), row.seq) for row in rows]
    later = sum(delta for delta, at in deltas if at is not None and at > seq)
    return sum(delta for delta, _ in deltas), later


def _takes(rows: Sequence[Any]) -> tuple[Take, ...]:
    answers: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        if row.kind == "taken_back":
            answer = int(row.event.get("owed_delta", 0)) - row.amount_microcredits
            answers[row.reference].append(answer)
    return tuple(
        Take(row.id, row.credit_seq, -row.requested_microcredits, tuple(answers[row.id]))
        for row in rows
        if row.requested_microcredits < 0
    )


def _paid(receipts: Sequence[Any], credited: Sequence[Any]) -> tuple[Receipt, ...]:
    """Each receipt with what was credited for it."""
    sums = {row.reference: int(row.credited) for row in credited}
    return tuple(
        Receipt(row.id, row.payment_status, row.bought, sums.get(row.id, 0)) for row in receipts
    )


def _stray(receipts: Sequence[Any], credited: Sequence[Any]) -> tuple[str, ...]:
    known = {row.id for row in receipts}
    return tuple(str(row.reference) for row in credited if row.reference not in known)
