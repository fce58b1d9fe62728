"""Keys: shown once, found by digest, ended for good."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import text

from storage import businesses, keys
from storage.database import Database
from storage.errors import NotFound
from storage.ids import new_id
from storage.keys import Scopes, digest_of
from storage.limits import Limits
from tests.storage.outbox_entries import NOW, add_business, credits

pytestmark = pytest.mark.anyio


async def test_a_key_is_shown_once_and_its_digest_is_kept(database: Database) -> None:
    """Who reads the database learns no key."""
    acme = await add_business(database)

    async with database.write() as connection:
        key, secret = await keys.issue(connection, business=acme.id, name="shop", at=NOW)
        stored = (await connection.execute(text("SELECT * FROM api_keys"))).mappings().one()

    assert re.fullmatch(r"gw-[A-Za-z0-9_-]{43}", secret)
    assert key.shown == f"{secret[:7]}…{secret[-4:]}"
    assert stored["digest"] == digest_of(secret)
    assert secret not in repr(key) + repr(dict(stored))


async def test_two_keys_are_never_alike(database: Database) -> None:
    """256 random bits each."""
    acme = await add_business(database)

    async with database.write() as connection:
        issued = [await keys.issue(connection, business=acme.id, name="a", at=NOW) for _ in "abc"]

    assert len({secret for _, secret in issued}) == 3


async def test_a_holder_is_found_by_digest(database: Database) -> None:
    """With all that decides what the key may be used for."""
    acme = await add_business(database)
    scopes = Scopes(models=frozenset({"gpt-5.2"}), features=frozenset({"product_description"}))

    async with database.write() as connection:
        key, secret = await keys.issue(
            connection,
            business=acme.id,
            name="shop",
            scopes=scopes,
            default_feature="product_description",
            credit_cap=credits("5"),
            limits=Limits(requests_per_minute=60, concurrent=5),
            expires_at=NOW + timedelta(days=1),
            at=NOW,
        )
        holder = await keys.find(connection, digest_of(secret))
        nobody = await keys.find(connection, digest_of(secret + "x"))

    assert nobody is None
    assert holder == keys.KeyHolder(
        key_id=key.id,
        business=acme.id,
        business_status="active",
        scopes=scopes,
        default_feature="product_description",
        credit_cap=credits("5"),
        expires_at=NOW + timedelta(days=1),
        revoked_at=None,
        limits=Limits(60, None, 5),
    )


async def test_a_cap_of_nothing_is_a_cap(database: Database) -> None:
    """It is not taken for none."""
    acme = await add_business(database)

    async with database.write() as connection:
        await keys.issue(connection, business=acme.id, name="a", credit_cap=credits("0"), at=NOW)
        (key,) = await keys.page(connection, acme.id, limit=9)

    assert key.credit_cap == credits("0")


async def test_a_revoked_key_is_still_found_and_says_so(database: Database) -> None:
    """Its owner is told that it was revoked, and revoking again does not move the day."""
    acme = await add_business(database)
    async with database.write() as connection:
        key, secret = await keys.issue(connection, business=acme.id, name="shop", at=NOW)

        await keys.revoke(connection, key.id, NOW)
        again = await keys.revoke(connection, key.id, NOW + timedelta(days=1))
        await businesses.set_status(connection, acme.id, status="suspended", at=NOW)
        holder = await keys.find(connection, digest_of(secret))

    assert holder is not None
    assert (holder.revoked_at, holder.business_status) == (NOW, "suspended")
    assert (again.revoked_at, again.digest) == (NOW, digest_of(secret))


async def test_keys_of_a_business_are_listed_newest_first(database: Database) -> None:
    """Revoked ones included, other businesses' not."""
    acme, bold = [await add_business(database) for _ in range(2)]
    async with database.write() as connection:
        issued = [
            (await keys.issue(connection, business=shop.id, name="app", at=NOW))[0]
            for shop in (acme, bold, acme)
        ]
        revoked = await keys.revoke(connection, issued[0].id, NOW)

        assert await keys.page(connection, acme.id, limit=9) == [issued[2], revoked]


async def test_a_key_needs_a_business_and_an_id_needs_a_key(database: Database) -> None:
    """Each says which noun was not found."""
    async with database.write() as connection:
        with pytest.raises(NotFound, match="no business"):
            await keys.issue(connection, business=new_id(), name="shop", at=NOW)
        with pytest.raises(NotFound, match="no key"):
            await keys.revoke(connection, new_id(), NOW)
