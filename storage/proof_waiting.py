"""Entries of the outbox and dead letters, held against what SQL has of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import BigInteger, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.proof_facts import Waiting
from storage.proof_records import cte
from storage.proof_redis import waiting_of
from storage.tables import Id, ai_transactions, credit_movements, dead_letters

IN_ONE = 500  # Entries in one question.


async def buried(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, list[Waiting]]:
    """The dead letters that name these businesses."""
    found: dict[str, list[Waiting]] = defaultdict(list)
    name = dead_letters.c.fields["business"].as_string()
    for row in await connection.execute(select(dead_letters).where(name.in_(ids))):
        place = f"dead letter {row.id}"
        found[row.fields["business"]].append(waiting_of(row.fields, place=place, is_buried=True))
    return found


async def count_buried(connection: AsyncConnection) -> int:
    """How many dead letters there are."""
    query = select(func.count()).select_from(dead_letters)
    return int((await connection.execute(query)).scalar_one())


async def stored(
    connection: AsyncConnection, waiting: Mapping[str, Sequence[Waiting]]
) -> dict[str, list[Waiting]]:
    """The same entries, each with what SQL has under its id and under its seq; none twice."""
    once: dict[str, dict[str, Waiting]] = defaultdict(dict)
    for business, entries in waiting.items():
        for each in entries:
            # Buried and not yet deleted from Redis, it is in both places.
            once[business].setdefault(each.id or each.place, each)
    entries = [each for of_one in once.values() for each in of_one.values()]
    ids = [each.id for each in entries if _is_id(each.id)]
    pairs = [(business, each.seq) for business in once for each in once[business].values()]
    places, seqs = await _places(connection, ids), await _taken_seqs(connection, pairs)
    return {
        business: [
            replace(
                each,
                stored=places.get(each.id),
                seq_is_stored=(business, each.seq) in seqs,
            )
            for each in of_one.values()
        ]
        for business, of_one in once.items()
    }


async def _places(
    connection: AsyncConnection, ids: Sequence[str]
) -> dict[str, tuple[int, int | None]]:
    places: dict[str, tuple[int, int | None]] = {}
    for start in range(0, len(ids), IN_ONE):
        some = ids[start : start + IN_ONE]
        for table in (ai_transactions, credit_movements):
            query = select(table.c.id, table.c.epoch, table.c.seq).where(table.c.id.in_(some))
            found = await connection.execute(query)
            places |= {row.id: (row.epoch, row.seq) for row in found}
    return places


async def _taken_seqs(
    connection: AsyncConnection, pairs: Sequence[tuple[str, int]]
) -> set[tuple[str, int]]:
    taken: set[tuple[str, int]] = set()
    for start in range(0, len(pairs), IN_ONE):
        wanted = cte("wanted", pairs[start : start + IN_ONE], business=Id, seq=BigInteger)
        for table in (ai_transactions, credit_movements):
            same = and_(table.c.business_id == wanted.c.business, table.c.seq == wanted.c.seq)
            query = select(table.c.business_id, table.c.seq).select_from(wanted).join(table, same)
            taken |= {(row.business_id, row.seq) for row in await connection.execute(query)}
    return taken


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
