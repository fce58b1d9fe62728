"""What an admin does about alerts that were told, with its line in the audit log."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import shown
from gateway.admin.changes import Admin
from storage import alerts, audit_log, deliveries
from storage.alerts import Alert
from storage.deliveries import Channel


async def told(connection: AsyncConnection, found: Collection[Alert]) -> list[shown.Shown]:
    """Alerts, each with what is sent of it."""
    sent = await deliveries.of_alerts(connection, [one.id for one in found])
    return [shown.alert(one, sent.get(one.id, ())) for one in found]


async def send_again(
    connection: AsyncConnection, id: str, channels: Collection[Channel], admin: Admin
) -> shown.Shown:
    """
    Send an alert once more, through every channel that is set up.

    Raises:
        NotFound: There is no such alert.
        Conflict: No channel is set up.
    """
    await deliveries.send_again(connection, id, channels, at=admin.at)
    [answer] = await told(connection, [await alerts.get(connection, id)])
    await audit_log.write(
        connection,
        who=admin.who,
        what="alert.send_again",
        object_id=answer["id"],
        after=answer,
        at=admin.at,
    )
    return answer
