"""The scripts of one business, called as `storage/balances.py` calls them."""

from __future__ import annotations

import re
from hashlib import sha1
from typing import Any

from redis.asyncio import Redis

from storage import redis_keys
from storage.scripts import Script, Scripts, connect, load

BUSINESS = "01936f00-0000-7000-8000-000000000001"
HOLD = "01936f00-0000-7000-8000-0000000000aa"
OTHER = "01936f00-0000-7000-8000-0000000000bb"
P = redis_keys.partition_of(BUSINESS)
META, OUTBOX = redis_keys.meta(P), redis_keys.outbox(P)
ACCOUNT, HOLDS = redis_keys.account(P, BUSINESS), redis_keys.holds(P, BUSINESS)
DEADLINES = redis_keys.deadlines(P)
THIRD = "01936f00-0000-7000-8000-0000000000dd"
KEY = "01936f00-0000-7000-8000-0000000000cc"
LIMITS = redis_keys.limits(P, KEY)
NOTE = f'{{"key_id":"{KEY}","user":null}}'
CLOCK = f"{{p{P:02d}}}:clock"
_NOW = re.compile(r"local time = redis\.call\('TIME'\)\n  return .*")
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
        note = more.get("note", '{"note":1}')
        arguments = [epoch, BUSINESS, id, ceiling, floor or ceiling, lease, note]
        limits = [more.get(name, "") for name in ("requests", "per_minute", "at_once", "cap")]
        if any(limits):
            keys.append(LIMITS)
            arguments += [*limits, more.get("tokens", "0")]
        return await self._scripts.call("hold", keys, arguments)

    async def renew(self, metered: str = "0", *, id: str = HOLD, **more: str) -> list[Any]:
        arguments = [more.get("epoch", "1"), BUSINESS, id, more.get("lease", "60000"), metered]
        if "exact" in more:
            arguments.append(more["exact"])
        return await self._scripts.call("renew", [META, HOLDS, DEADLINES], arguments)

    async def settle(self, amount: str = "10", *, id: str = HOLD, **more: str) -> list[Any]:
        keys = [META, ACCOUNT, HOLDS, DEADLINES, redis_keys.answer(P, id), OUTBOX]
        given = {"epoch": "1", "mode": "settle", "outcome": "settled", "granted": "0"} | more
        arguments = [given["epoch"], BUSINESS, id, amount, given["mode"], given["outcome"]]
        arguments += [given["granted"], '{"row":1}']
        if "key" in given:
            keys.append(LIMITS)
        if "tokens" in given or "claimed_by" in given:
            arguments.append(given.get("tokens", ""))
        if "claimed_by" in given:
            keys.append(redis_keys.replay(P, BUSINESS, "digest"))
            arguments.append(given["claimed_by"])
        return await self._scripts.call("settle", keys, arguments)

    async def count(self, before: str = "", from_seq: str = "", **more: str) -> list[Any]:
        arguments = [more.get("epoch", "1"), BUSINESS, more.get("key", KEY), before, from_seq]
        return await self._scripts.call("count", [META, ACCOUNT, HOLDS, LIMITS], arguments)

    async def credit(self, n: str, verb: str, amount: str, **more: str) -> list[Any]:
        given = {"epoch": "1", "expires": FAR, "low_at": "0", "status": "active"}
        given |= {"ended": "0"} | more
        event = f"01936f00-0000-7000-8000-{n[:12]:0>12}"
        arguments = [given["epoch"], BUSINESS, event, n, verb, amount]
        arguments += [given["expires"], given["low_at"], given["status"], given["ended"]]
        return await self._scripts.call("credit", [META, ACCOUNT, OUTBOX], arguments)

    async def expire(self, credit_seq: str = "0", *, epoch: str = "1") -> list[Any]:
        arguments = [epoch, BUSINESS, credit_seq]
        return await self._scripts.call("expire", [META, ACCOUNT, OUTBOX], arguments)

    async def audit(self, *, epoch: str = "1", business: str = BUSINESS) -> list[Any]:
        return await self._scripts.call("audit", [META, ACCOUNT, HOLDS], [epoch, business])

    async def at(self, now_ms: int, script: str, *arguments: str) -> list[Any]:
        """What a script answers at this very millisecond; the clock is all that is changed."""
        text = load(script).text
        clock = text[text.index("  local time = redis.call('TIME')") :].partition("\nend")[0]
        keys = {
            "hold": [META, ACCOUNT, HOLDS, DEADLINES, redis_keys.answer(P, HOLD)],
            "expire": [META, ACCOUNT, OUTBOX],
        }[script]
        text = text.replace(clock, f"  return {now_ms}")
        return await self.redis.eval(text, len(keys), *keys, *arguments)

    async def account(self) -> dict[str, str]:
        return await self.redis.hgetall(ACCOUNT)

    async def limits(self) -> dict[str, str]:
        return await self.redis.hgetall(LIMITS)

    async def stop_the_clock(self) -> None:
        """From now on the scripts read the time in a key, and only `later` changes it."""
        scripts = self._scripts._scripts
        for name, script in scripts.items():
            text, changed = _NOW.subn(f"return tonumber(redis.call('GET', '{CLOCK}'))", script.text)
            assert changed == 1, "now_ms() has another form"
            scripts[name] = Script(text, sha1(text.encode()).hexdigest())
        await self.redis.set(CLOCK, 1_800_000_000_000)

    async def later(self, ms: int) -> None:
        """So much time passes on the stopped clock."""
        await self.redis.incrby(CLOCK, ms)

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
