"""What a command says will be there, beside what a real Redis then has."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.admin import changes
from gateway.admin.changes import Admin
from gateway.admin.forms import Adjustment, TopUp, filled
from gateway.cli import applying
from tests.house import House
from tests.one_house import house, valkey_url

__all__ = ["house", "valkey_url"]

pytestmark = pytest.mark.anyio

ADMIN = Admin(who="command:test", at=datetime.now(UTC))


@pytest.mark.parametrize("change", ["12.5", "4", "-3"])
async def test_what_will_be_there_is_what_is_there_then(house: House, change: str) -> None:
    """Of a business that owes, with a change that waits: one that pays all, a part, or adds."""
    acme = await house.business("30")
    await _change(house, acme.id, "-40")
    await house.quiet()
    async with house.database.write() as connection:
        waiting = filled(TopUp, {"credits": "1.25"})
        await changes.top_up(connection, acme.id, waiting, ADMIN)
        form = filled(Adjustment, {"credits": change, "reason": "r"})
        await changes.adjust(connection, acme.id, form, ADMIN)
        said = await applying.recorded(connection, acme.id)

    await house.parts.loops.crediting.apply(acme.id)
    balance = await acme.balance()
    await house.quiet()
    async with house.database.write() as connection:
        recorded = await applying.recorded(connection, acme.id)

    assert said["applied"] is False
    assert said["owed"] == "10.00"
    assert (said["available_after"], said["owed_after"]) == (
        str(balance.available),
        str(balance.owed),
    )
    assert recorded["applied"] is True
    assert (recorded["balance"], recorded["owed"]) == (str(balance.total), str(balance.owed))


async def _change(house: House, business: str, credits: str) -> None:
    form = filled(Adjustment, {"credits": credits, "reason": "r"})
    async with house.database.write() as connection:
        await changes.adjust(connection, business, form, ADMIN)
    await house.parts.loops.crediting.apply(business)
