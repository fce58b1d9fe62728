"""Who owns what at OpenAI, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage import owners
from storage.database import Database
from storage.owners import Owned
from tests.storage.outbox_entries import add_business

pytestmark = pytest.mark.anyio

BEGAN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def made(business: str, id: str, kind: str = "file", *, after_s: float = 0) -> Owned:
    """An object that a business made so long after the beginning."""
    at = BEGAN + timedelta(seconds=after_s)
    return Owned(id, kind, business, None, "chat", at)


async def found(database: Database, business: str, *ids: str) -> set[str]:
    async with database.read() as connection:
        return set(await owners.find(connection, business, ids))


async def test_an_object_is_found_by_its_owner_only(database):
    """For everybody else it is as unknown as one that never was."""
    acme, other = [(await add_business(database)).id for _ in range(2)]
    async with database.write() as connection:
        await owners.add(connection, [made(acme, "file-1"), made(other, "file-2")])

    assert await found(database, acme, "file-1", "file-2", "file-3") == {"file-1"}
    assert await found(database, other, "file-1", "file-2", "file-3") == {"file-2"}


async def test_an_id_that_no_database_takes_is_nobody_s(database):
    """A caller may write anything where an id belongs."""
    acme = (await add_business(database)).id
    async with database.write() as connection:
        await owners.add(connection, [made(acme, "file-1")])

    assert await found(database, acme, "resp_\0abcdef", "file-1") == {"file-1"}


async def test_the_first_owner_stays(database):
    """Nobody gets an object by naming its id once more."""
    acme, other = [(await add_business(database)).id for _ in range(2)]
    async with database.write() as connection:
        await owners.add(connection, [made(acme, "file-1")])
        await owners.add(connection, [made(other, "file-1"), made(other, "file-2")])

    assert await found(database, acme, "file-1") == {"file-1"}
    assert await found(database, other, "file-1", "file-2") == {"file-2"}


async def test_what_was_deleted_is_nobodys(database):
    """And only its owner can have deleted it."""
    acme, other = [(await add_business(database)).id for _ in range(2)]
    async with database.write() as connection:
        await owners.add(connection, [made(acme, "file-1"), made(acme, "file-2")])
        await owners.delete(connection, other, "file-1", BEGAN)
        await owners.delete(connection, acme, "file-2", BEGAN)

    assert await found(database, acme, "file-1", "file-2") == {"file-1"}


async def test_many_ids_are_asked_for_together(database):
    """More than one question may have."""
    acme = (await add_business(database)).id
    ids = [f"file-{number}" for number in range(owners.ASKED_MOST + 7)]
    async with database.write() as connection:
        await owners.add(connection, [made(acme, id) for id in ids])

    assert await found(database, acme, *ids, "file-x") == set(ids)


async def test_tokens_are_noted_later(database):
    """A stream has its owner before it has its usage."""
    acme = (await add_business(database)).id
    async with database.write() as connection:
        await owners.add(connection, [made(acme, "resp_1", "response")])
    async with database.read() as connection:
        before = (await owners.find(connection, acme, ["resp_1"]))["resp_1"]
    async with database.write() as connection:
        await owners.note_tokens(connection, "resp_1", 4711)
    async with database.read() as connection:
        after = (await owners.find(connection, acme, ["resp_1"]))["resp_1"]

    assert (before.tokens, after.tokens) == (None, 4711)
    assert after.created_at == BEGAN
    assert (after.key_id, after.feature) == (None, "chat")


async def test_pages_hold_each_object_of_the_kind_once(database):
    """Several may have been made in one moment; the order is by id then."""
    acme, other = [(await add_business(database)).id for _ in range(2)]
    async with database.write() as connection:
        await owners.add(
            connection,
            [
                *(made(acme, f"file-{number}", after_s=number // 3) for number in range(10)),
                made(acme, "vs_1", "vector_store"),
                made(other, "file-x"),
            ],
        )
        await owners.delete(connection, acme, "file-4", BEGAN)
    newest = [f"file-{number}" for number in (9, 8, 7, 6, 5, 3, 2, 1, 0)]

    for order, expected in ((True, newest), (False, newest[::-1])):
        pages: list[str] = []
        last: Owned | None = None
        async with database.read() as connection:
            while part := await owners.page(
                connection, acme, "file", limit=4, after=last, newest_first=order
            ):
                pages += [one.id for one in part]
                last = part[-1]
        assert pages == expected

    async with database.read() as connection:
        five = (await owners.find(connection, acme, ["file-5"]))["file-5"]
        until = await owners.page(connection, acme, "file", limit=9, before=five)
    assert [one.id for one in until] == newest[:4]
