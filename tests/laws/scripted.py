"""The scripts of one business, called as `storage/balances.py` calls them."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from storage import redis_keys
from storage.scripts import Scripts, connect

BUSINESS = "01936f00-0000-7000-8000-000000000001"
HOLD = "01936f00-0000-7000-8000-0000000000aa"
OTHER = "01936f00-0000-7000-8000-0000000000bb"
P = redis_keys.partition_of(BUSINESS)
META, OUTBOX = redis_keys.meta(P), redis_keys.outbox(P)
ACCOUNT, HOLDS = redis_keys.account(P, BUSINESS), redis_keys.holds(P, BUSINESS)
DEADLINES = redis_keys.deadlines(P)
FAR = "4102444800000"  # The year 2100.


class Ledger:
    """The scripts of one business, with arguments that are right unless a test says so."""

    def __init__(self, url: str) -> None:
        self.redis: Any = connect(url)
        self._raw: Any = Redis.from_url(url)
        self._scripts = Scripts(self.redis)

    async def begin(self, epoch: str = "1", counter: str = "0") -> list[Any]:
        return await self._scripts.call("begin", [META], [epoch, counter])

    async def freeze(self, reason: str = "a test says so") -> list[Any]:
        return await self._scripts.call("freeze", [META], [reason])

    async def open(self, total: str = "100", **more: str) -> list[Any]:
        given = {"epoch": "1", "owed": "0", "seq": "0", "credit_seq": "0", "expires": "0"}
        given |= {"low_at": "0", "alerted": "0", "status": "active"} | more
        arguments = [given["epoch"], total, given["owed"], given["seq"], given["credit_seq"]]
        arguments += [given["expires"], given["low_at"], given["alerted"], given["status"]]
        return await self._scripts.call("open", [META, ACCOUNT, HOLDS], arguments)

    async def hold(
        self, ceiling: str = "10", floor: str | None = None, *, id: str = HOLD, **more: str
    ) -> list[Any]:
        keys = [META, ACCOUNT, HOLDS, DEADLINES, redis_keys.answer(P, id)]
        lease, epoch = more.get("lease", "60000"), more.get("epoch", "1")
        arguments = [epoch, BUSINESS, id, ceiling, floor or ceiling, lease, '{"note":1}']
        return await self._scripts.call("hold", keys, arguments)

    async def renew(self, metered: str = "0", *, id: str = HOLD, **more: str) -> list[Any]:
        arguments = [more.get("epoch", "1"), BUSINESS, id, more.get("lease", "60000"), metered]
        return await self._scripts.call("renew", [META, HOLDS, DEADLINES], arguments)

    async def settle(self, amount: str = "10", *, id: str = HOLD, **more: str) -> list[Any]:
        keys = [META, ACCOUNT, HOLDS, DEADLINES, redis_keys.answer(P, id), OUTBOX]
        given = {"epoch": "1", "mode": "settle", "outcome": "settled", "granted": "0"} | more
        arguments = [given["epoch"], BUSINESS, id, amount, given["mode"], given["outcome"]]
        return await self._scripts.call("settle", keys, [*arguments, given["granted"], '{"row":1}'])

    async def credit(self, n: str, verb: str, amount: str, **more: str) -> list[Any]:
        given = {"epoch": "1", "expires": FAR, "low_at": "0", "status": "active"} | more
        event = f"01936f00-0000-7000-8000-{n[:12]:0>12}"
        arguments = [given["epoch"], BUSINESS, event, n, verb, amount]
        arguments += [given["expires"], given["low_at"], given["status"]]
        return await self._scripts.call("credit", [META, ACCOUNT, OUTBOX], arguments)

    async def account(self) -> dict[str, str]:
        return await self.redis.hgetall(ACCOUNT)

    async def outbox(self) -> list[dict[str, str]]:
        return [fields for _, fields in await self.redis.xrange(OUTBOX)]

    async def until_overdue(self, id: str = HOLD) -> None:
        """Wait until the lease has ended by the clock of Redis."""
        deadline = await self.redis.zscore(DEADLINES, f"{BUSINESS}:{id}") or 0
        while True:
            seconds, micros = await self.redis.time()
            if seconds * 1000 + micros / 1000 > deadline + 1:
                return

    async def everything(self) -> dict[bytes, bytes]:
        """Each key with what it holds, to see that nothing was changed."""
        keys = sorted(await self._raw.keys())
        return {key: await self._raw.dump(key) for key in keys}

    async def close(self) -> None:
        await self.redis.aclose()
        await self._raw.aclose()
