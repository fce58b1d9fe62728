"""Usage in the admin API: grouped, paged, and summed over the whole range."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from storage.businesses import Business
from storage.ids import new_id
from tests.gateway.admin.an_admin import Admin
from tests.storage.outbox_entries import NOW_MS, Redis, add_business, record

pytestmark = pytest.mark.anyio

DAY_MS = 24 * 3_600_000
USAGE = "/admin/analytics/usage"
ALL = f"{USAGE}?from=2026-01-01&by="


class Shop:
    """A business that calls."""

    def __init__(self, admin: Admin, business: Business) -> None:
        self._admin = admin
        self.business = business
        self._redis = Redis(business.id)

    async def calls(self, credits: str, *, days_ago: int = 0, **row: Any) -> None:
        more: dict[str, Any] = {"outcome": row.pop("outcome", "settled")}
        row = {"started_at_ms": NOW_MS - days_ago * DAY_MS, **row}
        await record(self._admin.database, self._redis.charges(credits, row=row, **more))


@pytest.fixture
async def shops(admin: Admin) -> list[Shop]:
    """Two businesses, with calls of four days, three features and two models."""
    acme, bold = [
        Shop(admin, await add_business(admin.database, topped_up="500")) for _ in range(2)
    ]
    await acme.calls("2.5", feature="chat", user="ama", model="gpt-5")
    await acme.calls("2", feature="chat", user="kofi", model="gpt-5", days_ago=1)
    await acme.calls("0", feature="idea", user="ama", model="gpt-5", success=False)
    await acme.calls("-0.5", feature="chat", user="ama", model="gpt-5", outcome="adjusted")
    await bold.calls("0.000001", model="gpt-5-mini", user="ama", days_ago=2)
    await bold.calls("999.999999", model="gpt-5-mini", days_ago=3)
    return [acme, bold]


def brief(answer: Any, by: str) -> list[tuple[Any, ...]]:
    return [(row[by], row["calls"], row["failed"], row["credits"]) for row in answer["data"]]


async def test_usage_by_feature(admin: Admin, shops: list[Shop]) -> None:
    """In the order of their names; calls that named none are null; amounts are text."""
    answer = await admin.get(ALL + "feature")

    assert brief(answer, "feature") == [
        (None, 2, 0, "500.00"),
        ("chat", 2, 0, "4.00"),
        ("idea", 1, 1, "0.00"),
    ]
    assert {name: answer[name] for name in ("by", "from", "to", "business_id", "next")} == {
        "by": "feature", "from": "2026-01-01", "to": None, "business_id": None, "next": None,
    }  # fmt: skip
    assert answer["totals"] == {
        "calls": 5, "failed": 1, "tokens": 720, "credits": "504.00", "cost": "0.0075",
    }  # fmt: skip


async def test_usage_by_each_of_the_others(admin: Admin, shops: list[Shop]) -> None:
    """Users, models, businesses and days; the totals are always those of the range."""
    acme, bold = shops
    answers = {by: await admin.get(ALL + by) for by in ("user", "model", "business", "day")}

    assert brief(answers["user"], "user") == [
        (None, 1, 0, "499.999999"),
        ("ama", 3, 1, "2.000001"),
        ("kofi", 1, 0, "2.00"),
    ]
    assert brief(answers["model"], "model") == [
        ("gpt-5", 3, 1, "4.00"),
        ("gpt-5-mini", 2, 0, "500.00"),
    ]
    of_businesses = {(row["business_id"], row["business"]) for row in answers["business"]["data"]}
    assert of_businesses == {(acme.business.id, "Acme"), (bold.business.id, "Acme")}
    assert [row["day"] for row in answers["day"]["data"]] == [
        "2026-11-19", "2026-11-20", "2026-11-21", "2026-11-22",
    ]  # fmt: skip
    assert len({str(answer["totals"]) for answer in answers.values()}) == 1


async def test_a_range_has_its_first_day_and_not_its_last(admin: Admin, shops: list[Shop]) -> None:
    """`from` is in it, `to` is the day after; the totals are of the same range."""
    answer = await admin.get(f"{USAGE}?by=day&from=2026-11-20&to=2026-11-22")

    assert brief(answer, "day") == [
        ("2026-11-20", 1, 0, "0.000001"),
        ("2026-11-21", 1, 0, "2.00"),
    ]
    assert answer["totals"]["credits"] == "2.000001"
    assert answer["to"] == "2026-11-22"


async def test_the_last_thirty_days_are_shown_unless_asked(admin: Admin, shops: list[Shop]) -> None:
    """Today is one of them."""
    acme, _ = shops
    await acme.calls("1", days_ago=29)
    await acme.calls("1", days_ago=30)

    answer = await admin.get(f"{USAGE}?by=day")
    until = await admin.get(f"{USAGE}?by=day&to=2026-10-24")

    assert answer["from"] == "2026-10-24"
    assert answer["data"][0]["day"] == "2026-10-24"
    assert [row["day"] for row in until["data"]] == ["2026-10-23"]


async def test_one_business_is_asked_for(admin: Admin, shops: list[Shop]) -> None:
    """Its groups and its totals, and nothing of anybody else; an unknown one is not there."""
    _, bold = shops

    answer = await admin.get(f"{ALL}user&business={bold.business.id}")
    empty = await admin.get(f"{ALL}user&business={await admin.business()}")
    unknown = await admin.call("GET", f"{ALL}user&business={new_id()}")

    assert [row["user"] for row in answer["data"]] == [None, "ama"]
    assert answer["totals"]["credits"] == "500.00"
    assert (empty["data"], empty["totals"]["calls"], empty["totals"]["cost"]) == ([], 0, "0.00")
    assert unknown.status_code == 404


@pytest.mark.parametrize("by", ["feature", "user", "model", "business", "day"])
async def test_pages_join_without_a_gap(admin: Admin, shops: list[Shop], by: str) -> None:
    """One group a page: each once, with the totals of the range and not of the page."""
    whole = await admin.get(ALL + by)
    pages, after = [], ""
    while True:
        page = await admin.get(f"{ALL}{by}&limit=1{after}")
        pages.append(page)
        if page["next"] is None:
            break
        after = f"&after={quote(page['next'])}"

    assert [row for page in pages for row in page["data"]] == whole["data"]
    assert all(page["totals"] == whole["totals"] for page in pages)
    assert len(pages) == len(whole["data"]) > 1


async def test_pages_are_stable_while_calls_come_in(admin: Admin, shops: list[Shop]) -> None:
    """A group that grows does not move: nothing is shown twice, nothing is passed over."""
    first = await admin.get(f"{ALL}feature&limit=2")
    await shops[0].calls("100", feature="idea")
    await shops[0].calls("1", feature="aardvark")
    rest = await admin.get(f"{ALL}feature&limit=2&after={first['next']}")

    assert [row["feature"] for row in first["data"] + rest["data"]] == [None, "chat", "idea"]
    assert rest["totals"]["credits"] == "605.00"


@pytest.mark.parametrize(
    ("query", "param", "says"),
    [
        ("", "by", "is missing"),
        ("by=colour", "by", "'feature', 'user', 'model', 'business' or 'day'"),
        ("by=day&by=user", "by", "ask once"),
        ("by=day&from=yesterday", "from", "a day such as 2026-11-01"),
        ("by=day&from=20261101", "from", "a day such as 2026-11-01"),
        ("by=day&to=2026-02-30", "to", "a day such as 2026-11-01"),
        ("by=day&from=2026-11-02T00:00:00Z", "from", "a day such as 2026-11-01"),
        ("by=day&from=2026-11-02&to=2026-11-02", "to", "should be after from"),
        ("by=day&business=acme", "business", "the id of a business"),
        ("by=day&limit=0", "limit", "1 to 200"),
        ("by=day&limit=201", "limit", "1 to 200"),
        ("by=day&limit=ten", "limit", "1 to 200"),
        ("by=day&after=soon", "after", "what `next` says"),
        ("by=business&after=acme", "after", "what `next` says"),
        ("by=user&after=a%00b", "after", "what `next` says"),
        ("by=user&order=credits", "order", "is not a field"),
    ],
)
async def test_what_is_not_understood_is_said(
    admin: Admin, query: str, param: str, says: str
) -> None:
    """The field, and what it should be."""
    reply = await admin.call("GET", f"{USAGE}?{query}")

    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "invalid_request", param)
    assert says in error["message"]


async def test_no_day_is_too_early(admin: Admin) -> None:
    """Nothing is subtracted from the first day there is."""
    answer = await admin.get(f"{USAGE}?by=day&to=0001-01-02")

    assert answer["data"] == []
