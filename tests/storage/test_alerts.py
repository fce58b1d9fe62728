"""Warnings: read and acknowledged. How they are raised is in test_transactions."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage import alerts, transactions
from storage.database import Database
from storage.errors import NotFound
from storage.ids import new_id
from tests.storage.outbox_entries import NOW, Redis, add_business, credits

pytestmark = pytest.mark.anyio


async def raise_alert(database: Database) -> alerts.Alert:
    """A low balance of a new business."""
    acme = await add_business(database, topped_up="12")
    entry = Redis(acme.id, balance=8_000_000).charges("4", alerts="low_balance")
    async with database.write() as connection:
        await transactions.record(connection, [entry], at=NOW)
        [alert] = await alerts.page(connection, acme.id, limit=5)
    return alert


async def test_an_alert_says_what_was_crossed(database: Database) -> None:
    """The balance at that moment and the threshold."""
    alert = await raise_alert(database)

    assert (alert.alert_type, alert.current_balance) == ("low_balance", credits("8"))
    assert (alert.threshold, alert.sent_at) == (credits("10"), NOW)
    assert (alert.acknowledged, alert.delivery_state) == (False, "pending")


async def test_an_alert_is_acknowledged_by_who_was_first(database: Database) -> None:
    """A second click changes neither the name nor the time."""
    alert = await raise_alert(database)

    async with database.write() as connection:
        await alerts.acknowledge(connection, alert.id, by="ama", at=NOW)
        later = NOW + timedelta(days=1)
        again = await alerts.acknowledge(connection, alert.id, by="kofi", at=later)

    assert (again.acknowledged, again.acknowledged_by, again.acknowledged_at) == (True, "ama", NOW)


async def test_alerts_are_paged_from_the_newest(database: Database) -> None:
    """One business's, or everybody's."""
    raised = [await raise_alert(database) for _ in range(3)]

    async with database.read() as connection:
        first = await alerts.page(connection, None, limit=2)
        rest = await alerts.page(connection, None, limit=2, after=first[-1].id)
        own = await alerts.page(connection, raised[0].business, limit=9)
        with pytest.raises(NotFound, match="no business"):
            await alerts.page(connection, "nobody", limit=1)

    assert first + rest == raised[::-1]
    assert own == raised[:1]


async def test_an_unknown_alert_cannot_be_acknowledged(database: Database) -> None:
    """Neither one that could exist, nor what is no id."""
    async with database.write() as connection:
        for id in (new_id(), "all"):
            with pytest.raises(NotFound, match="no alert"):
                await alerts.acknowledge(connection, id, by="ama", at=NOW)
