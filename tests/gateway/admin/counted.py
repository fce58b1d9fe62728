"""What is counted before and after: rows and balances. And amounts that are none."""

from __future__ import annotations

from sqlalchemy import func, select

from storage.tables import ai_credit_purchases, audit_log, credit_movements, idempotency_keys
from tests.gateway.admin.an_admin import Admin

NO_AMOUNTS = [
    "NaN", "Infinity", "inf", "1e3", "-0", "", " ", " 1", "1 ", "+1", "1_000", "1,5", "0x10", "٣",
    ".5", "5.", "1\n", "1000000000000000000", True, False, 5, 5.0, 1e30, [], {}, ["5"],
]  # fmt: skip


async def rows(admin: Admin) -> list[int]:
    """How many there are: purchases, movements, idempotency keys, audit rows."""
    tables = (ai_credit_purchases, credit_movements, idempotency_keys, audit_log)
    async with admin.database.read() as connection:
        counted = [select(func.count()).select_from(table) for table in tables]
        return [(await connection.execute(count)).scalar_one() for count in counted]


async def balance(admin: Admin, id: str) -> str:
    return str((await admin.get(f"/admin/businesses/{id}"))["balance"])
