"""The reconciler: audits every open account in turn, gently, and calls when one is wrong."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.background import reconciler as module
from gateway.background.reconciler import Reconciler
from metering.money import Credits
from storage import redis_keys
from storage.answers import Audited
from storage.errors import LedgerCorrupt, LedgerUnavailable
from storage.tables import business_ai_credits
from tests.gateway.background.a_hold import a_hold
from tests.house import Acme, House
from tests.laws.laws import check_laws

pytestmark = pytest.mark.anyio

QUICK: dict[str, Any] = {"most_per_s": 1000.0, "every_s": 0.001}


def reconciler_of(house: House) -> Reconciler:
    return reconciling(house, **QUICK)


def reconciling(house: House, balances: Any = None, **pace: Any) -> Reconciler:
    ledger = house.parts.ledger
    return Reconciler(
        house.database,
        balances or ledger.balances,
        ledger.accounts,
        ledger.partitions,
        house.parts.loops.crediting,
        **pace,
    )


def account_of(acme: Acme) -> str:
    return redis_keys.account(redis_keys.partition_of(acme.id), acme.id)


async def test_sound_accounts_are_left_alone(house: House) -> None:
    """With holds open and calls made; no false alarm."""
    acme, bold = await house.business("10.00"), await house.business("0.50", name="Bold")
    await a_hold(acme, "4.00")
    await house.chat(bold)

    assert await reconciler_of(house).audit_all() == 0
    await house.quiet()
    await check_laws(house)


async def test_a_drift_of_one_micro_credit_is_found(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """The account is frozen with the reason, and somebody is called; the others go on."""
    acme, bold = await house.business("10.00"), await house.business("10.00", name="Bold")
    await a_hold(acme, "4.00")
    await house.parts.stores.redis.hincrby(account_of(acme), "held", -1)
    reconciler = reconciler_of(house)

    assert await reconciler.audit_all() == 1
    refused, served = await house.chat(acme), await house.chat(bold)

    (called,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert (called.message, called.business) == ("account_wrong", acme.id)  # type: ignore[attr-defined]
    assert called.why.startswith("3999999 micro-credits are held")  # type: ignore[attr-defined]
    assert (refused.status_code, served.status_code) == (503, 200)
    assert refused.json()["error"]["code"] == "ledger_unavailable"
    assert await reconciler.audit_all() == 1
    assert [record.message for record in caplog.records].count("account_stays_frozen") == 1


async def test_an_account_that_was_lost_is_found_though_nobody_calls(house: House) -> None:
    """Its partition is frozen, as when a call finds it."""
    acme = await house.business("10.00")
    await house.parts.stores.redis.delete(account_of(acme))

    assert await reconciler_of(house).audit_all() == 1

    frozen = house.parts.ledger.partitions.frozen
    assert list(frozen) == [redis_keys.partition_of(acme.id)]
    assert await reconciler_of(house).audit_all() == 0


async def test_an_account_of_an_older_epoch_is_not_missed(house: House) -> None:
    """The next call opens it; so it is not there yet, and nothing was lost."""
    acme = await house.business("10.00")
    await house.parts.stores.redis.delete(account_of(acme))
    async with house.database.write() as connection:
        await connection.execute(business_ai_credits.update().values(epoch=0))

    assert await reconciler_of(house).audit_all() == 0
    assert house.parts.ledger.partitions.frozen == {}


async def test_an_account_of_before_a_recovery_waits_for_its_next_call(house: House) -> None:
    """Its partition has begun a new epoch; opening it anew is not the reconciler's business."""
    acme = await house.business("10.00")
    epochs = house.parts.ledger.partitions
    audited: list[str] = []

    class Recovered:
        frozen: dict[int, str] = {}

        def epoch(self, partition: int) -> int:
            return epochs.epoch(partition) + 1

    class Noting:
        async def audit(self, business: str) -> Audited:
            audited.append(business)
            return await house.parts.ledger.balances.audit(business)

    reconciler = reconciling(house, Noting(), **QUICK)
    assert await reconciler.audit_all() == 0
    reconciler._partitions = cast(Any, Recovered())

    assert await reconciler.audit_all() == 0
    assert audited == [acme.id]


async def test_every_account_is_audited_in_pages_with_a_pause_after_each(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most so many a second: calls go first."""
    shops = [await house.business("1.00", name=f"Shop {number}") for number in range(5)]
    audited: list[str] = []
    pauses: list[float] = []
    balances = house.parts.ledger.balances

    class Noting:
        async def audit(self, business: str) -> Audited:
            audited.append(business)
            return await balances.audit(business)

    async def note(pause_s: float) -> None:
        pauses.append(pause_s)

    monkeypatch.setattr(module, "AT_ONCE", 2)
    # Of this module alone: other loops of the house would never let go of the event loop.
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=note))
    await reconciling(house, Noting(), most_per_s=50).audit_all()

    assert audited == sorted(shop.id for shop in shops)
    assert [pause for pause in pauses if pause == 1 / 50] == [1 / 50] * 5


async def test_the_loop_outlives_an_absence_and_a_mistake(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing ends it but its end."""
    reconciler = reconciler_of(house)
    failures = iter([LedgerUnavailable("Redis is away"), ZeroDivisionError("a mistake")])
    done = asyncio.Event()
    audit_all = reconciler.audit_all

    async def fail_first() -> int:
        if failure := next(failures, None):
            raise failure
        done.set()
        return await audit_all()

    monkeypatch.setattr(reconciler, "audit_all", fail_first)
    running = asyncio.create_task(reconciler.run())
    await done.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_top_up_that_redis_forgot_is_applied_again(house: House) -> None:
    """An older copy of Redis was put back: SQL has it as applied, and the customer has paid."""
    acme = await house.business("10.00")
    redis: Any = house.parts.stores.redis
    before = await redis.hgetall(account_of(acme))
    await house.top_up(acme, "7.00")
    await redis.hset(account_of(acme), mapping=before)
    assert await acme.available() == Credits.parse("10.00")

    assert await reconciler_of(house).audit_all() == 0

    assert await acme.available() == Credits.parse("17.00")
    assert house.parts.ledger.partitions.frozen == {}
    await check_laws(house)


async def test_a_redis_that_was_rolled_back_is_found_though_nobody_calls(house: House) -> None:
    """SQL has recorded a call that the account knows nothing of."""
    acme = await house.business("10.00")
    redis: Any = house.parts.stores.redis
    before = await redis.hgetall(account_of(acme))
    await house.chat(acme)
    await house.quiet()
    await redis.hset(account_of(acme), mapping=before)

    assert await reconciler_of(house).audit_all() == 1

    (reason,) = house.parts.ledger.partitions.frozen.values()
    assert reason.startswith("Redis was rolled back")
    assert (await house.chat(acme)).status_code == 503


async def test_an_sql_that_was_rolled_back_is_found_though_nobody_calls(house: House) -> None:
    """Its next credit event would bear a number that Redis has applied, and be lost."""
    acme, bold = await house.business("10.00"), await house.business("10.00", name="Bold")
    async with house.database.write() as connection:
        older = business_ai_credits.c.credit_seq - 1
        await connection.execute(
            business_ai_credits.update()
            .where(business_ai_credits.c.business_id == acme.id)
            .values(credit_seq=older)
        )

    assert await reconciler_of(house).audit_all() == 1

    (reason,) = house.parts.ledger.partitions.frozen.values()
    assert reason.startswith(f"SQL was rolled back: business {acme.id} is at credit event")
    assert bold.id not in reason


async def test_one_business_in_trouble_ends_no_audit_of_those_after_it(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """A credit event that is gone from SQL, or an account that nobody can read."""
    shops = sorted([(await house.business("1.00")).id for _ in range(3)])
    balances = house.parts.ledger.balances

    class Refusing:
        async def audit(self, business: str) -> Audited:
            if business == shops[0]:
                raise LedgerUnavailable("event 2 is gone", reason="gap")
            if business == shops[1]:
                raise LedgerCorrupt("no script writes this")
            return await balances.audit(business)

    assert await reconciling(house, Refusing(), **QUICK).audit_all() == 2
    told = [r.business for r in caplog.records if r.message == "account_not_audited"]  # type: ignore[attr-defined]
    assert told == shops[:2]


async def test_a_credit_that_is_on_its_way_is_no_loss(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written after SQL was asked, and Redis had it before it was."""
    acme = await house.business("10.00")
    reconciler = reconciler_of(house)
    (stale,) = await reconciler._opened(None)
    await house.top_up(acme, "7.00")

    async def opened(after: str | None) -> list[Any]:
        return [] if after else [stale]

    async def nothing_is_missing(business: str) -> None:
        raise AssertionError(f"{business} has all that SQL knew of")

    monkeypatch.setattr(reconciler, "_opened", opened)
    monkeypatch.setattr(house.parts.loops.crediting, "catch_up", nothing_is_missing)

    assert await reconciler.audit_all() == 0
    assert house.parts.ledger.partitions.frozen == {}


async def test_no_false_alarm_while_calls_run(house: House) -> None:
    """An audit is one script: it never sees half of a hold or of a settle."""
    acme = await house.business("50.00")
    reconciler = reconciler_of(house)
    calling = asyncio.gather(*(house.chat(acme) for _ in range(50)))
    wrong = 0

    while not calling.done():
        wrong += await reconciler.audit_all()
    await calling

    assert wrong == 0
    await house.quiet()
    await check_laws(house)
