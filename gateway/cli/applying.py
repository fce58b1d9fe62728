"""What a running gateway has yet to bring to Redis, and what will be there then."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import shown
from metering.money import Credits
from storage import businesses, movements


async def applied(connection: AsyncConnection, business: str) -> shown.Shown:
    """
    Whether Redis has every credit event of a business.

    One that was written this moment it cannot have: a gateway finds it in about a second.
    """
    return {"applied": not await movements.pending(connection, business, limit=1)}


async def recorded(connection: AsyncConnection, business: str) -> shown.Shown:
    """
    A balance as SQL has it, and as it will be when all that is written is applied.

    Additions are in the recorded balance as soon as they are written; what is taken, and
    what they pay of a debt, once Redis has said how much was there. Calls go on meanwhile,
    and are in neither.
    """
    row = await businesses.ledger_row(connection, business)
    events = await movements.pending(connection, row.business)
    taken = sum((event.amount for event in events if event.verb == "take"), Credits(0))
    after = row.balance - row.owed - taken
    return {
        **shown.recorded(row),
        "applied": not events,
        "available_after": str(max(after, Credits(0))),
        "owed_after": str(max(Credits(0) - after, Credits(0))),
    }


def said(balance: shown.Shown) -> str:
    """The balance after an addition, in words; of a business that owes, what it will have."""
    if balance["owed"] == "0.00" and balance["available_after"] == balance["balance"]:
        return f"the balance is {balance['balance']}"
    left = "" if balance["owed_after"] == "0.00" else f" and {balance['owed_after']} still owed"
    return (
        f"{balance['owed']} are owed and paid first, so that {balance['available_after']} will be "
        f"available{left}"
    )
