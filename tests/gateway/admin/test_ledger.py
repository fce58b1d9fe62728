"""The admin API on a real Redis: what is answered is what a call then finds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256

import httpx2
import pytest

from gateway.admin.routes import build_admin
from gateway.background.crediting import Crediting
from metering.money import Credits
from storage.accounts import Accounts
from storage.balances import Balances
from storage.database import Database
from storage.errors import BusinessSuspended
from storage.partitions import Partitions
from storage.scripts import Scripts, connect
from tests.gateway.admin.an_admin import TOKEN, Admin, Ledger

pytestmark = pytest.mark.anyio


@pytest.fixture
async def partitions(sqlite_database: Database, redis_url: str) -> AsyncIterator[Partitions]:
    redis = connect(redis_url)
    scripts = Scripts(redis)
    opened = Partitions(redis, scripts, sqlite_database)
    await opened.begin()
    yield opened
    await scripts.close()
    await redis.aclose()


@pytest.fixture
async def balances(partitions: Partitions, redis_url: str) -> AsyncIterator[Balances]:
    redis = connect(redis_url)
    scripts = Scripts(redis)
    yield Balances(redis, scripts, partitions)
    await scripts.close()
    await redis.aclose()


@pytest.fixture
async def admin(
    sqlite_database: Database, partitions: Partitions, balances: Balances
) -> AsyncIterator[Admin]:
    accounts = Accounts(sqlite_database, balances, partitions)
    app = build_admin(
        database=sqlite_database,
        balances=balances,
        crediting=Crediting(sqlite_database, balances, accounts),
        token_digest=sha256(TOKEN.encode()).digest(),
        announce_revocation=Ledger().announce,
        clock=lambda: datetime.now(UTC),
    )
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield Admin(client, Ledger(), sqlite_database)


async def hold(balances: Balances, business: str, credits: str) -> None:
    await balances.hold(
        business=business,
        id="0198a1b2-0000-7000-8000-000000000001",
        ceiling=Credits.parse(credits),
        floor=Credits.parse(credits),
        lease_s=60,
        note="{}",
    )


async def credits_of(admin: Admin, id: str) -> dict[str, object]:
    return dict(await admin.get(f"/admin/businesses/{id}/credits"))


async def test_credits_can_be_held_when_the_answer_comes(admin, balances):
    """Purchase and bonus are one balance; what a call holds is not available."""
    id = await admin.business()
    answer = await admin.post(
        f"/admin/businesses/{id}/top-ups", {"credits": "30", "bonus_credits": "5"}
    )
    await hold(balances, id, "12")

    credits = await credits_of(admin, id)

    assert answer["applied"] is True
    assert (credits["balance"], credits["held"], credits["available"]) == (
        "35.00",
        "12.00",
        "23.00",
    )
    assert credits["live"] is True
    receipt = await admin.get(f"/admin/purchases/{answer['purchase']['id']}")
    assert receipt["applied_at"] is not None


async def test_what_is_not_there_to_be_taken_is_owed(admin, balances):
    """A correction takes what no call holds; the rest blocks new calls."""
    id = await admin.business()
    await admin.post(f"/admin/businesses/{id}/top-ups", {"credits": "30"})
    await hold(balances, id, "25")

    await admin.post(f"/admin/businesses/{id}/adjustments", {"credits": "-10", "reason": "r"})

    credits = await credits_of(admin, id)
    assert (credits["balance"], credits["held"], credits["owed"]) == ("25.00", "25.00", "5.00")


async def test_suspended_is_suspended_at_once(admin, balances):
    """The next hold is refused, and after resuming it is granted."""
    id = await admin.business()
    await admin.post(f"/admin/businesses/{id}/top-ups", {"credits": "30"})
    await admin.post(f"/admin/businesses/{id}/suspend")

    with pytest.raises(BusinessSuspended):
        await hold(balances, id, "1")
    await admin.post(f"/admin/businesses/{id}/resume")
    await hold(balances, id, "1")

    assert (await credits_of(admin, id))["held"] == "1.00"
