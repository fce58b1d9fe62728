"""A business whose responses may run in the background, and the loop that looks after them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

from storage.transactions import Transaction
from tests.gateway.storing import switch_on
from tests.house import Acme, House
from tests.one_house import charged_as_billed


async def with_background(house: House, name: str = "Acme") -> Acme:
    acme = await house.business(name=name)
    await switch_on(acme, ["background"])
    return acme


async def looked(house: House, times: int = 1, *, after: timedelta = timedelta(hours=1)) -> int:
    """Let the loop look so often, as if so much time had gone by each time."""
    watcher, begun, found = house.parts.jobs, datetime.now(UTC), 0
    for number in range(times):
        watcher.now = partial(_at, begun + after * (number + 1))
        found += await watcher.look()
        await house.quiet()
    return found


def _at(time: datetime) -> datetime:
    return time


async def pending(house: House) -> int:
    return int(await house.scalar("SELECT count(*) FROM pending_jobs"))


async def settled(acme: Acme, times: int = 4) -> Transaction:
    """The one row, charged as billed, once the loop has looked so often; no job is left."""
    await looked(acme.house, times)
    (row,) = await charged_as_billed(acme)
    assert await pending(acme.house) == 0
    return row
