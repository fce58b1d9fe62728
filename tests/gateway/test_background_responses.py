"""Responses in the background: held until OpenAI has ended them, and settled exactly once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from metering.money import Credits
from storage import jobs
from storage.errors import RecordsUnavailable
from tests.gateway.jobs_of import looked, pending, settled, with_background
from tests.gateway.responding import ask
from tests.gateway.storing import owned
from tests.house import Acme, House, open_house
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio


async def test_a_response_in_the_background_is_settled_though_nobody_comes_back(house: House):
    """Its hold outlives its call; what OpenAI bills at the end is charged."""
    acme = await with_background(house)
    house.openai.changes(polls=2, reasoning_tokens=70)

    reply = await ask(acme, background=True, metadata={"feature": "report"})

    assert (reply.status_code, reply.json()["status"]) == (200, "queued")
    assert "x-credits-used" not in reply.headers
    assert (await acme.held()) == Credits.parse(reply.headers["x-credits-held"]) > Credits(0)
    assert await owned(acme, reply.json()["id"])
    assert await acme.transactions() == []
    assert house.openai.requests[0].fields["store"] is True
    row = await settled(acme)
    assert row.id == reply.headers["x-transaction-id"]
    assert (row.usage_source, row.feature, row.success) == ("reported", "report", True)
    tokens = (await owned(acme, reply.json()["id"]))[reply.json()["id"]].tokens
    assert tokens == row.tokens_used


async def test_its_caller_may_look_and_it_is_settled_once(house: House):
    """What a GET shows as ended is settled at once; the loop finds nothing to add."""
    acme = await with_background(house)
    house.openai.changes(polls=2)
    id = (await ask(acme, background=True)).json()["id"]
    path = f"/v1/responses/{id}"

    seen = [(await house.client.get(path, headers=acme.headers)).json() for _ in range(3)]

    assert [one["status"] for one in seen] == ["in_progress", "completed", "completed"]
    (row,) = await charged_as_billed(acme)
    assert row.usage_source == "reported"
    again = await house.client.get(f"{path}?stream=true", headers=acme.headers)
    assert again.status_code == 200
    await settled(acme)


async def test_one_that_is_cancelled_pays_for_its_prompt(house: House):
    """OpenAI tells no usage then: the prompt is counted, and marked as estimated."""
    acme = await with_background(house)
    house.openai.changes(polls=None)
    id = (await ask(acme, background=True)).json()["id"]

    reply = await house.client.post(f"/v1/responses/{id}/cancel", headers=acme.headers)

    assert reply.json()["status"] == "cancelled"
    await looked(house, 2)
    (row,) = await acme.transactions()
    assert (row.usage_source, row.estimated, row.success) == ("counted", True, False)
    assert Credits(0) < row.credits_used <= row.credits_held
    assert (await acme.held(), await pending(house)) == (Credits(0), 0)


async def test_one_that_is_deleted_while_it_runs_is_not_free(house: House):
    """It is cancelled and settled before it is gone."""
    acme = await with_background(house)
    house.openai.changes(polls=None)
    id = (await ask(acme, background=True)).json()["id"]

    reply = await house.client.delete(f"/v1/responses/{id}", headers=acme.headers)

    assert reply.json()["deleted"] is True
    await looked(house, 2)
    (row,) = await acme.transactions()
    assert Credits(0) < row.credits_used <= row.credits_held
    assert row.estimated


async def test_one_that_failed_without_usage_is_free(house: House):
    """Nothing was delivered and nothing is billed."""
    acme = await with_background(house)
    house.openai.changes(ends="failed", reports_usage=False, polls=1, bills_cut=False)
    id = (await ask(acme, background=True)).json()["id"]
    job = house.openai.objects.jobs[id]
    job._response._last = {"type": "message", "content": []}
    job._bill = lambda: None

    row = await settled(acme)

    assert (row.outcome, row.credits_used, row.success) == ("released", Credits(0), False)


async def test_one_that_failed_is_charged_what_it_reports(house: House):
    """The tokens that OpenAI bills."""
    acme = await with_background(house)
    house.openai.changes(ends="failed")
    await ask(acme, background=True)

    row = await settled(acme)

    assert (row.usage_source, row.success) == ("reported", False)


async def test_one_without_usage_is_counted(house: House):
    """Its prompt was counted beforehand, since no text of it is kept."""
    acme = await with_background(house)
    house.openai.says("Once upon a time")
    house.openai.without_usage()
    await ask(acme, background=True, input="Tell me a story.")

    await looked(house, 2)

    (row,) = await acme.transactions()
    (bill,) = house.openai.billed
    assert (row.usage_source, row.estimated) == ("counted", True)
    assert dict(row.usage)["output"] == bill.usage["output_tokens"]
    assert dict(row.usage)["input"] >= bill.usage["input_tokens"]
    assert row.credits_used <= row.credits_held


async def test_one_that_never_ends_is_charged_what_was_held_after_a_day(house: House):
    """Nobody will know its usage."""
    acme = await with_background(house)
    house.openai.changes(polls=None)
    await ask(acme, background=True)

    await looked(house, 3)
    assert await acme.transactions() == []
    await looked(house, 2, after=timedelta(hours=25))

    (row,) = await acme.transactions()
    assert (row.credits_used, row.estimated) == (row.credits_held, True)
    assert await pending(house) == 0


async def test_its_hold_lives_longer_than_a_call(house: House):
    """No restart of the gateway is as long as its lease."""
    acme = await with_background(house)
    house.openai.changes(polls=None)
    reply = await ask(acme, background=True)
    id, balances = reply.headers["x-transaction-id"], house.parts.ledger.balances
    await balances.renew(business=acme.id, id=id, lease_s=60, metered=Credits(0))
    await looked(house)

    redis: Any = house.parts.stores.redis
    ends = [
        score
        async for key in redis.scan_iter(match="*:deadlines")
        for member, score in await redis.zrange(key, 0, -1, withscores=True)
        if member.endswith(id)
    ]

    assert ends[0] / 1000 > datetime.now(UTC).timestamp() + 3600


async def test_a_gateway_that_dies_leaves_the_settling_to_the_next(
    valkey_url: str, sqlite_records_url: str
):
    """Nothing of it is in the memory of the process that took the call."""
    stores = {"redis_url": valkey_url, "records_url": sqlite_records_url}
    async with open_house(**stores) as first:
        acme = await with_background(first)
        first.openai.changes(polls=None)
        reply = await ask(acme, background=True)
        id = reply.json()["id"]
        job, held = first.openai.objects.jobs[id], await acme.held()

    async with open_house(**stores) as second:
        again = Acme(second, acme.id, acme.key, acme.topped_up)
        assert await again.held() == held
        job._polls, second.openai.objects.jobs[id] = 1, job
        await looked(second, 4)
        second.openai.bills.all += first.openai.billed

        (row,) = await charged_as_billed(again)

    assert row.id == reply.headers["x-transaction-id"]


async def test_what_cannot_be_written_down_is_cancelled(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    """503, nothing charged, and OpenAI works for nobody."""
    acme = await with_background(house)
    house.openai.changes(polls=None)

    async def fails(*_: object) -> None:
        raise RecordsUnavailable("SQL is away") from OperationalError("", {}, Exception())

    monkeypatch.setattr(jobs, "add", fails)

    reply = await ask(acme, background=True)

    assert reply.status_code == 503
    (row,) = await acme.transactions()
    assert (row.outcome, row.credits_used) == ("released", Credits(0))
    cancelled = [one.path for one in house.openai.requests if one.path.endswith("/cancel")]
    assert len(cancelled) == 1
    assert await acme.held() == Credits(0)


@pytest.mark.parametrize("store", [True, None])
async def test_it_is_stored_whether_or_not_it_says_so(house: House, store: bool | None):
    """`stored` need not be switched on for it."""
    acme = await with_background(house)

    reply = await ask(acme, background=True, store=store)

    assert reply.status_code == 200
    await settled(acme)


async def test_store_false_is_refused(house: House):
    """It could not be fetched."""
    acme = await with_background(house)

    reply = await ask(acme, background=True, store=False)

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "store")
    assert house.openai.requests == []


async def test_no_text_of_the_caller_is_kept(house: House):
    """The row has what settles it and nothing of the prompt."""
    acme = await with_background(house)
    house.openai.changes(polls=None)
    await ask(acme, background=True, input="the secret recipe", instructions="whisper it")

    facts = str(await house.scalar("SELECT facts FROM pending_jobs"))

    assert "recipe" not in facts
    assert "whisper" not in facts


async def test_another_business_does_not_know_it(house: House):
    """Neither to read nor to cancel nor to delete."""
    acme, other = await with_background(house), await with_background(house, "Other")
    house.openai.changes(polls=None)
    id = (await ask(acme, background=True)).json()["id"]
    asked = len(house.openai.requests)

    for method, path in (("GET", id), ("DELETE", id), ("POST", f"{id}/cancel")):
        reply = await house.client.request(method, f"/v1/responses/{path}", headers=other.headers)
        assert reply.status_code == 404

    assert len(house.openai.requests) == asked


async def test_it_takes_no_idempotency_key(house: House):
    """Its reply would be kept when it is settled, and a repeat before that be made again."""
    acme = await with_background(house)

    reply = await house.client.post(
        "/v1/responses",
        json={"model": "gpt-5.4-mini", "input": "Hello", "background": True},
        headers={**acme.headers, "Idempotency-Key": "once"},
    )

    assert reply.status_code == 400
    assert "Idempotency-Key" in reply.json()["error"]["message"]
    assert (await acme.held(), house.openai.requests) == (Credits(0), [])
