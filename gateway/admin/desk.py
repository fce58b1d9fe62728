"""What every noun of the admin API works with: the stores, the clock, who is asking."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from starlette.requests import Request

from gateway.admin.asking import Asked, Page
from gateway.admin.changes import Admin, BusinessDefaults, Work
from gateway.admin.refusals import IdempotencyKeyReused
from gateway.admin.shown import Shown
from gateway.payments.settling import Settling
from storage import idempotency, keys
from storage.balances import Balance, NoAccount
from storage.database import Database
from storage.deliveries import Channel
from storage.errors import Conflict, StorageError

REDIS_WITHIN_S = 3.0  # SQL has committed already; an admin need not wait for Redis to return.


class ReadsBalances(Protocol):
    """`storage.balances.Balances`, as far as an admin needs it."""

    async def read(self, business: str) -> Balance: ...


class AppliesCredits(Protocol):
    """`gateway.background.crediting.Crediting`, as far as an admin needs it."""

    async def apply(self, business: str) -> object: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """
    The stores as an admin uses them.

    SQL is asked first and commits; Redis is told afterwards and may be away: it is told
    again by the background, and the answer says that it does not know yet.
    """

    database: Database
    balances: ReadsBalances
    crediting: AppliesCredits
    announce_revocation: Callable[[bytes], Awaitable[object]]
    clock: Callable[[], datetime]
    business_defaults: BusinessDefaults
    settling: Settling
    upstreams: frozenset[str] = frozenset()
    channels: tuple[Channel, ...] = ()

    def admin(self, request: Request) -> Admin:
        """Who asks, at this moment."""
        return Admin(who=request.state.who, at=self.clock())

    async def applied(self, business: str) -> bool:
        """Bring the credit events of a business to Redis; whether they are all there."""
        try:
            async with asyncio.timeout(REDIS_WITHIN_S):
                await self.crediting.apply(business)
        except (StorageError, TimeoutError):
            return False
        return True

    async def announced(self, digest: bytes) -> bool:
        """Tell every process that a key was revoked; they look for themselves soon anyway."""
        try:
            async with asyncio.timeout(REDIS_WITHIN_S):
                await self.announce_revocation(digest)
        except (StorageError, TimeoutError):
            return False
        return True

    async def announced_all(self, business: str) -> bool:
        """Let every process look up the keys of a business anew."""
        async with self.database.read() as connection:
            digests = await keys.live_digests(connection, business)
        for digest in digests:
            if not await self.announced(digest):
                return False
        return True

    async def live(self, business: str) -> tuple[Balance | None, bool]:
        """The balance in Redis, if there is one, and whether Redis answered."""
        try:
            async with asyncio.timeout(REDIS_WITHIN_S):
                return await self.balances.read(business), True
        except NoAccount:
            return None, True
        except (StorageError, TimeoutError):
            return None, False

    async def once(
        self,
        asked: Asked[Any],
        scope: str,
        at: datetime,
        work: Work,
    ) -> tuple[Shown, bool]:
        """
        Do the work in one transaction, or read what the same call was answered before.

        Args:
            scope: What the Idempotency-Key belongs to; another scope has keys of its own.

        Returns:
            The answer, and whether it is the one of an earlier call.

        Raises:
            IdempotencyKeyReused: The key was used with another body.
        """
        key = asked.idempotency_key
        async with self.database.write() as connection:
            if key is None:
                return await work(connection), False
            try:
                before = await idempotency.claim(
                    connection, scope=scope, key=key, body_digest=asked.digest, at=at
                )
            except Conflict as conflict:
                raise IdempotencyKeyReused(str(conflict), param="Idempotency-Key") from None
            if before is not None:
                return before.answer, True
            answer = await work(connection)
            await idempotency.keep(connection, scope=scope, key=key, status=201, answer=answer)
            return answer, False


def part(rows: list[Shown], page: Page) -> Shown:
    """
    One page of a list, from at most one row more than the page holds.

    `next` is what `after` should be to go on, and null on the last page.
    """
    more = len(rows) > page.limit
    data = rows[: page.limit]
    return {"data": data, "next": data[-1]["id"] if more else None}
