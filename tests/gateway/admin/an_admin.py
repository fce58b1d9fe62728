"""An admin with the token, in front of the admin API on a real database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import httpx2

from gateway.admin.routes import build_admin
from metering.money import Credits
from storage.balances import Balance, NoAccount
from storage.database import Database
from storage.errors import LedgerUnavailable

TOKEN = "an-admin-token-of-many-letters"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ACME = {"name": "Acme", "owner_email": "owner@acme.example"}


@dataclass
class Ledger:
    """Stands in for Redis: keeps what it was told, and can be away."""

    away: bool = False
    applied: list[str] = field(default_factory=list)
    revoked: list[bytes] = field(default_factory=list)
    balances: dict[str, Balance] = field(default_factory=dict)

    async def read(self, business: str) -> Balance:
        self._answer()
        if business not in self.balances:
            raise NoAccount(business)
        return self.balances[business]

    async def apply(self, business: str) -> None:
        self._answer()
        self.applied.append(business)

    async def announce(self, digest: bytes) -> None:
        self._answer()
        self.revoked.append(digest)

    def holds(self, business: str, *, total: str, held: str) -> None:
        """Let it know of a balance."""
        parts = (Credits.parse(total), Credits.parse(held), Credits(0))
        self.balances[business] = Balance(*parts, 1, 0, "active")

    def _answer(self) -> None:
        if self.away:
            raise LedgerUnavailable("Redis is away")


class Admin:
    """Calls the admin API with the token."""

    def __init__(self, client: httpx2.AsyncClient, ledger: Ledger, database: Database) -> None:
        self._client = client
        self.ledger = ledger
        self.database = database

    async def call(self, method: str, path: str, json: Any = None, **more: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {TOKEN}", **more.pop("headers", {})}
        return await self._client.request(method, path, json=json, headers=headers, **more)

    async def get(self, path: str, **more: Any) -> Any:
        """The body of a GET that must succeed."""
        reply = await self.call("GET", path, **more)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def post(self, path: str, json: Any = None, **more: Any) -> Any:
        """The body of a POST that must succeed."""
        reply = await self.call("POST", path, json, **more)
        assert reply.status_code in (200, 201), reply.text
        return reply.json()

    async def bare(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """A call without the token."""
        return await self._client.request(method, path, **more)

    async def business(self, **fields: Any) -> str:
        """The id of a new business."""
        return str((await self.post("/admin/businesses", {**ACME, **fields}))["id"])

    async def audited(self) -> list[str]:
        """What the audit log says was done, the oldest first."""
        return [row["what"] for row in reversed((await self.get("/admin/audit"))["data"])]


def app_on(database: Database, ledger: Ledger, token: str | None = TOKEN) -> Any:
    """The admin API on these stores."""
    return build_admin(
        database=database,
        balances=ledger,
        crediting=ledger,
        token_digest=sha256(token.encode()).digest() if token is not None else None,
        announce_revocation=ledger.announce,
        clock=lambda: NOW,
        channels=("email", "webhook"),
    )
