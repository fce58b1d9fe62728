"""`/metrics`: who may read it, and what is never in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from gateway.metrics_table import COUNTED, TIMED, WATCHED
from metering.rates import RateCard
from tests.gateway.scraped import TOKEN, scraped
from tests.house import ADMIN_TOKEN, MODEL, OUR_KEY, House
from tests.one_house import set_up

pytestmark = pytest.mark.anyio

METRICS_TOKEN = "a-metrics-token-of-enough-length"
SCRAPER = {"Authorization": f"Bearer {METRICS_TOKEN}"}


async def test_nobody_reads_it_without_a_token(house: House):
    """Not a business either: it says what the whole gateway earns."""
    acme = await house.business()

    for headers in ({}, acme.headers, {"Authorization": "Bearer wrong"}, SCRAPER):
        reply = await house.client.get("/metrics", headers=headers)

        assert reply.status_code == 401
        assert "gateway_" not in reply.text


@set_up(admin__metrics_token=METRICS_TOKEN)
async def test_a_token_of_its_own_opens_it_and_nothing_else(house: House):
    """Whoever reads metrics must not be able to top up."""
    read = await house.client.get("/metrics", headers=SCRAPER)
    as_admin = await house.client.get("/metrics", headers=TOKEN)
    admin = await house.client.get("/admin/businesses", headers=SCRAPER)

    assert (read.status_code, as_admin.status_code, admin.status_code) == (200, 200, 401)


@set_up(admin__port="18081")
async def test_it_is_where_the_admin_api_is(house: House):
    """With a listener of its own it is not found on that of the businesses."""
    here = await house.client.get("/metrics", headers=TOKEN)
    transport = httpx2.ASGITransport(house.parts.admin)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as there:
        answers = [
            (await there.get("/metrics", headers=TOKEN)).status_code,
            (await there.get("/metrics")).status_code,
            (await there.get("/admin/businesses", headers=TOKEN)).status_code,
            (await there.get("/metrics/", headers=TOKEN)).status_code,
        ]

    assert here.status_code == 404
    assert answers == [200, 401, 200, 404]


async def test_it_is_prometheus_text_and_only_read(house: House):
    """The type is the one that every Prometheus understands."""
    read = await house.client.get("/metrics", headers=TOKEN)
    posted = await house.client.post("/metrics", headers=TOKEN)

    assert read.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert read.headers["cache-control"] == "no-store"
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")


async def test_every_metric_of_the_table_is_there_from_the_start(house: House):
    """What has not happened yet is 0 and not absent, where its labels are known."""
    seen = await scraped(house)

    names = {metric.name.removesuffix("_total") for metric in (*COUNTED, *TIMED, *WATCHED)}
    assert names <= set(seen.families)
    for metric in COUNTED:
        for labels in metric.starts:
            given = frozenset(zip(metric.labels, labels, strict=True))
            assert (metric.name, given) in seen.series


async def test_a_flood_of_unknown_models_makes_one_series(house: House):
    """Labels that callers may choose would fill the memory of Prometheus, and ours."""
    acme = await house.business()
    await house.chat(acme)
    await house.chat(acme, model="gpt-99")
    await house.quiet()
    before = (await scraped(house)).series

    names = [f"gpt-{number}" for number in range(100, 150)] + ["x" * 128, 'a"b\nc', "ünknown"]
    await asyncio.gather(*(house.chat(acme, model=name) for name in names))

    after = await scraped(house)
    assert after.series == before
    assert after.by("calls_total", "model") == {MODEL: 1, "other": len(names) + 1}


async def test_an_alias_is_counted_as_the_model_that_it_means(house: House):
    """A model has one series, by whatever name it is asked for."""
    acme = await house.business()
    (alias, *_) = RateCard.load().models[MODEL].aliases

    for name in (MODEL, alias):
        await house.chat(acme, model=name)
    await house.quiet()

    seen = await scraped(house)
    assert seen.by("calls_total", "model") == {MODEL: 2}
    assert set(seen.by("used_credits_total", "model")) == {MODEL}


async def test_what_openai_calls_its_model_makes_no_series(house: House):
    """The label is an id of the rate card, whatever a reply says."""
    acme = await house.business()
    house.openai.changes(model="gpt-of-tomorrow")

    await house.chat(acme)
    await house.quiet()

    seen = await scraped(house)
    for name in ("calls_total", "usage_units_total", "used_credits_total", "cost_dollars_total"):
        assert set(seen.by(name, "model")) <= set(RateCard.load().models)


async def test_it_names_nobody_and_no_secret(house: House, tmp_path: Path):
    """No key, no business, no user, no feature, no prompt, no reply, no host."""
    acme = await house.business(name="Canary Shop", features=("canary-feature",))
    house.openai.says("canary reply")
    said = [{"role": "user", "content": "canary prompt"}]
    headers = {"x-user": "canary-user", "x-feature": "canary-feature"}

    reply = await house.chat(acme, messages=said, headers=headers)
    await house.chat(acme, messages=said, user="canary-user", stream=True)
    await house.chat(acme, model="canary-model")
    house.openai.changes(status=401)
    await house.chat(acme)
    await house.client.get("/v1/canary", headers={"Authorization": "Bearer gw-canary"})
    await acme.transactions()

    text = (await scraped(house)).text
    secrets = (OUR_KEY, ADMIN_TOKEN, acme.key, acme.id, reply.headers["x-transaction-id"])
    hosts = ("127.0.0.1", house.openai.base_url, "redis://", "sqlite", str(tmp_path))
    for canary in (*secrets, *hosts, "anary", "sk-", "Bearer"):
        assert canary not in text
