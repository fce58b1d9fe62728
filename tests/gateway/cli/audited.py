"""What the audit log has, for commands that ran."""

from __future__ import annotations

import asyncio

from storage import audit_log
from storage.audit_log import AuditEntry
from storage.database import Database


def audited(url: str) -> list[AuditEntry]:
    """Its entries, the newest first."""

    async def read() -> list[AuditEntry]:
        database = Database.open(url)
        async with database.read() as connection:
            found = await audit_log.page(connection, limit=100)
        await database.close()
        return found

    return asyncio.run(read())
