"""
Who owns what at OpenAI: object id → business.

All businesses without an upstream of their own share one project there, in which every
object is visible to every key. So an id counts only for the business that it was given to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import insert_if_new
from storage.tables import object_owners as table

ASKED_MOST = 500  # Ids in one question; SQLite has a bound on parameters.


@dataclass(frozen=True, slots=True)
class Owned:
    """
    An object of OpenAI's and whose it is.

    Attributes:
        kind: response, completion, conversation, item, file, upload, vector_store, container, ….
        tokens: In and out, of the response; None when that is not known.
        deleted_at: Since then it is nobody's.
    """

    id: str
    kind: str
    business: str
    key_id: str | None
    feature: str | None
    created_at: datetime
    tokens: int | None = None
    deleted_at: datetime | None = None


async def add(connection: AsyncConnection, objects: Sequence[Owned]) -> None:
    """
    Write down who owns these; one that is known already stays whose it is.

    An id can come twice, as that of a container which several responses use.
    """
    if not objects:
        return
    rows = [
        {
            "id": one.id,
            "kind": one.kind,
            "business_id": one.business,
            "key_id": one.key_id,
            "feature": one.feature,
            "tokens": one.tokens,
            "created_at": one.created_at,
            "deleted_at": one.deleted_at,
        }
        for one in objects
    ]
    await connection.execute(insert_if_new(connection, table), rows)


async def find(connection: AsyncConnection, business: str, ids: Iterable[str]) -> dict[str, Owned]:
    """Those of these objects that are the business's and were not deleted."""
    # PostgreSQL takes no NUL in a text, and no object has one in its id.
    asked = [id for id in dict.fromkeys(ids) if "\0" not in id]
    found: dict[str, Owned] = {}
    for start in range(0, len(asked), ASKED_MOST):
        rows = await connection.execute(
            select(table).where(
                table.c.id.in_(asked[start : start + ASKED_MOST]),
                table.c.business_id == business,
                table.c.deleted_at.is_(None),
            )
        )
        found |= {row.id: _owned(row) for row in rows}
    return found


async def note_tokens(connection: AsyncConnection, id: str, tokens: int) -> None:
    """Note what a response had, in and out, for those that continue it."""
    await connection.execute(update(table).where(table.c.id == id).values(tokens=tokens))


async def delete(connection: AsyncConnection, business: str, id: str, at: datetime) -> None:
    """Note that an object of the business is no more."""
    await connection.execute(
        update(table)
        .where(table.c.id == id, table.c.business_id == business, table.c.deleted_at.is_(None))
        .values(deleted_at=at)
    )


async def page(
    connection: AsyncConnection,
    business: str,
    kind: str,
    *,
    limit: int,
    after: Owned | None = None,
    before: Owned | None = None,
    newest_first: bool = True,
) -> list[Owned]:
    """
    The objects of a business of one kind, by the time they were made.

    Args:
        after, before: Only those beyond, or up to, this one in the order asked for.
    """
    query = select(table).where(
        table.c.business_id == business, table.c.kind == kind, table.c.deleted_at.is_(None)
    )
    if after is not None:
        query = query.where(_beyond(after, older=newest_first))
    if before is not None:
        query = query.where(_beyond(before, older=not newest_first))
    order = (table.c.created_at, table.c.id)
    ordered = [column.desc() for column in order] if newest_first else list(order)
    found = await connection.execute(query.order_by(*ordered).limit(limit))
    return [_owned(row) for row in found]


def _beyond(one: Owned, *, older: bool) -> Any:
    at, id = table.c.created_at, table.c.id
    if older:
        return or_(at < one.created_at, and_(at == one.created_at, id < one.id))
    return or_(at > one.created_at, and_(at == one.created_at, id > one.id))


def _owned(row: Row[Any]) -> Owned:
    return Owned(
        id=row.id,
        kind=row.kind,
        business=row.business_id,
        key_id=row.key_id,
        feature=row.feature,
        created_at=row.created_at,
        tokens=row.tokens,
        deleted_at=row.deleted_at,
    )
