"""Alive: the process answers. Ready: Redis and SQL answer, and no partition is frozen."""

from __future__ import annotations

from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from storage.database import Database
from storage.errors import StorageError
from storage.partitions import Partitions


class Health:
    """What a load balancer asks."""

    def __init__(self, database: Database, partitions: Partitions) -> None:
        self._database = database
        self._partitions = partitions

    def routes(self) -> list[Route]:
        return [Route("/healthz", self.alive), Route("/readyz", self.ready)]

    async def alive(self, request: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def ready(self, request: Request) -> JSONResponse:
        """200 when a call could be served, else 503 with what is missing."""
        checks = {
            "redis": await self._redis(),
            "sql": await self._sql(),
            "ledger": self._ledger(),
        }
        is_ready = all(answer == "ok" for answer in checks.values())
        status = "ready" if is_ready else "not ready"
        return JSONResponse({"status": status, **checks}, 200 if is_ready else 503)

    async def _redis(self) -> str:
        try:
            await self._partitions.ping()
        except StorageError:
            return "does not answer"
        return "ok"

    async def _sql(self) -> str:
        try:
            async with self._database.read() as connection:
                await connection.execute(text("SELECT 1"))
        except StorageError:
            return "does not answer"
        return "ok"

    def _ledger(self) -> str:
        frozen = self._partitions.frozen
        if not frozen:
            return "ok"
        return f"{len(frozen)} partitions are frozen: {next(iter(frozen.values()))}"
