"""`gateway usage`: the same figures as the admin API's, and every group of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from storage.database import Database
from tests.storage.outbox_entries import Redis, add_business, record

FROM = ("--from", "2026-11-01", "--to", "2026-12-01")


@pytest.fixture
def shop(records_url: str) -> str:
    """A business with calls of 450 users, which are three pages."""

    async def fill() -> str:
        database = Database.open(records_url)
        business = await add_business(database, topped_up="500")
        redis = Redis(business.id)
        calls = [
            redis.charges("0.1", row={"user": f"user-{number:03}", "feature": "chat"})
            for number in range(450)
        ]
        await record(database, *calls)
        await database.close()
        return business.id

    return asyncio.run(fill())


def test_every_group_is_printed_and_then_the_totals(gateway: Any, shop: str) -> None:
    """With --json a group a line, and the totals of the range in the last one."""
    *groups, last = gateway("usage", "--by", "user", *FROM, "--json").documents

    assert [group["user"] for group in groups] == [f"user-{number:03}" for number in range(450)]
    assert {group["credits"] for group in groups} == {"0.10"}
    assert last["totals"] == {
        "calls": 450, "failed": 0, "tokens": 54_000, "credits": "45.00", "cost": "0.5625",
    }  # fmt: skip
    assert (last["by"], last["from"], last["to"]) == ("user", "2026-11-01", "2026-12-01")


def test_a_table_ends_with_its_totals(gateway: Any, shop: str) -> None:
    """By feature unless asked otherwise."""
    rows = [line.split() for line in gateway("usage", *FROM).out.splitlines()]
    [chat, total] = [row for row in rows if row[:1] in (["chat"], ["total"])]

    assert chat == ["chat", "450", "0", "54000", "45.00", "0.5625"]
    assert total[1:] == chat[1:]


def test_one_business_is_asked_for(gateway: Any, shop: str) -> None:
    """A business has its own figures; one that is unknown has none."""
    ran = gateway("usage", "--by", "business", "--business", shop, *FROM)

    assert shop in ran.out
    assert gateway("usage", "--business", "01a203fa-af21-700d-832a-8d36665539ff").code == 3


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--by", "colour"), "by: input should be 'feature'"),
        (("--from", "yesterday"), "from: should be a day such as 2026-11-01"),
        (("--from", "2026-11-02", "--to", "2026-11-01"), "to: should be after from"),
    ],
)
def test_what_is_not_understood_is_said(gateway: Any, given: tuple[str, ...], says: str) -> None:
    """The exit code is that of a wrong command line."""
    ran = gateway("usage", *given)

    assert ran.code == 2
    assert says in ran.err
