"""`gateway transaction` and `gateway alert`, and lists of more than one page."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import Table, insert

from gateway.cli import output
from storage.database import Database
from storage.ids import new_id
from storage.tables import ai_transactions, ai_usage_alerts

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def store(url: str, table: Table, rows: list[dict[str, Any]]) -> None:
    async def insert_all() -> None:
        database = Database.open(url)
        async with database.write() as connection:
            await connection.execute(insert(table), rows)
        await database.close()

    asyncio.run(insert_all())


def call(business: str, seq: int) -> dict[str, Any]:
    return {
        "id": new_id(), "business_id": business, "endpoint": "chat.completions", "model": "gpt-5",
        "credits_used_microcredits": 2_500_000, "cost_to_us_picodollars": 12_500_000,
        "tokens_used": 120, "usage": {"input": 120}, "usage_source": "reported",
        "estimated": False, "timestamp": NOW, "success": True, "credits_held_microcredits": 0,
        "shortfall_microcredits": 0, "outcome": "settled", "price_version": "v", "epoch": 1,
        "seq": seq, "recorded_at": NOW,
    }  # fmt: skip


@pytest.fixture
def calls(acme, records_url):
    """450 calls, which are three pages."""
    rows = [call(acme, seq) for seq in range(1, 451)]
    store(records_url, ai_transactions, rows)
    return [row["id"] for row in rows]


def test_calls_are_listed_newest_first(gateway, acme, calls):
    """A hundred unless asked for more; pages are joined without a gap."""
    usual = gateway("transaction", "list", acme, "--json").documents
    all_of_them = gateway("transaction", "list", acme, "--json", "--limit", "1000").documents

    assert [one["id"] for one in usual] == calls[::-1][:100]
    assert [one["id"] for one in all_of_them] == calls[::-1]
    assert gateway("transaction", "show", calls[0], "--json").document == all_of_them[-1]


def test_a_pipe_gets_whole_ids(gateway, acme, calls):
    """A table is not cut where nobody sees its edge."""
    listed = gateway("transaction", "list", acme, "--limit", "3").out

    for id in calls[::-1][:3]:
        assert id in listed
    assert "2.50" in listed


def test_alerts_are_listed_and_acknowledged(gateway, acme, records_url):
    """Who was first stays."""
    id = new_id()
    row = {
        "id": id, "business_id": acme, "alert_type": "low_balance",
        "current_balance_microcredits": 8_000_000, "threshold_microcredits": 10_000_000,
        "credit_seq": 1, "sent_at": NOW, "acknowledged": False, "delivery_state": "pending",
    }  # fmt: skip
    store(records_url, ai_usage_alerts, [row])

    assert "low_balance" in gateway("alert", "list").out
    assert gateway("alert", "ack", id, "--by", "ama").out == "low_balance was seen by ama\n"
    assert gateway("alert", "ack", id, "--by", "kofi").code == 0
    assert gateway("alert", "list", acme, "--json").document["acknowledged_by"] == "ama"


def test_an_alert_is_sent_again(gateway, acme, records_url, monkeypatch):
    """Where something is set up to send it through; the list says what became of it."""
    id = new_id()
    row = {
        "id": id, "business_id": acme, "alert_type": "low_balance",
        "current_balance_microcredits": 8_000_000, "threshold_microcredits": 10_000_000,
        "credit_seq": 1, "sent_at": NOW, "acknowledged": False, "delivery_state": "pending",
    }  # fmt: skip
    store(records_url, ai_usage_alerts, [row])
    assert gateway("alert", "send-again", id).code == 1

    monkeypatch.setenv("GATEWAY__ALERTS__SMTP_HOST", "mail.example")
    monkeypatch.setenv("GATEWAY__ALERTS__SMTP_SENDER", "credits@gateway.example")

    ended = gateway("alert", "send-again", id)
    assert ended.out == "low_balance will be sent again: email\n"
    assert "email pending" in gateway("alert", "list").out
    [sent] = gateway("alert", "list", acme, "--json").document["deliveries"]
    assert (sent["channel"], sent["state"]) == ("email", "pending")


def test_the_next_page_begins_after_the_last_one_seen(gateway, acme, calls):
    """Pages are joined without a gap; what was not asked for is not said to be there."""
    first = gateway("transaction", "list", acme, "--limit", "200")
    seen = [gateway("transaction", "list", acme, "--limit", "200", "--json").documents]
    while len(seen[-1]) == 200:
        last = seen[-1][-1]["id"]
        asked = ("transaction", "list", acme, "--limit", "200", "--after", last, "--json")
        seen.append(gateway(*asked).documents)

    assert [one["id"] for page in seen for one in page] == calls[::-1]
    assert first.err == f"there may be more: --after {seen[0][-1]['id']}\n"
    assert gateway("transaction", "list", acme, "--limit", "1000").err == ""


def test_every_list_has_pages(gateway, acme, records_url):
    """The newest first; an id that is none is refused."""
    for n in range(3):
        gateway("business", "add", f"B{n}", "--email", "a@b")
        gateway("top-up", acme, "1")
        gateway("key", "issue", acme, "--name", f"k{n}")
    row = {
        "business_id": acme, "alert_type": "low_balance", "current_balance_microcredits": 1,
        "threshold_microcredits": 2, "sent_at": NOW, "acknowledged": False,
        "delivery_state": "pending",
    }  # fmt: skip
    alerts = [row | {"id": new_id(), "credit_seq": n} for n in range(3)]
    store(records_url, ai_usage_alerts, alerts)

    for noun, of in (("business", []), ("key", [acme]), ("purchase", []), ("alert", []),
                     ("purchase", [acme]), ("alert", [acme])):  # fmt: skip
        whole = gateway(noun, "list", *of, "--json").documents
        page = gateway(
            noun, "list", *of, "--json", "--limit", "1", "--after", whole[0]["id"]
        ).documents
        assert len(whole) >= 3, noun
        assert page == whole[1:2], noun
        assert gateway(noun, "list", *of, "--after", "x").code == 3, noun


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_table_is_broken_by_a_narrow_terminal(gateway, acme, calls, width, monkeypatch):
    """Ids go below, or each record has its own lines: nothing is cut and no word is broken."""
    gateway("top-up", acme, "77.50", "--reference", "MM-20261122-17")
    gateway("key", "issue", acme, "--name", "till")
    monkeypatch.setattr(output, "_console", lambda: Console(width=width))

    for arguments, cells in (
        (["business", "list"], ["Acme", "77.50", "active", acme]),
        (["purchase", "list"], ["MM-20261122-17", "77.50", "completed"]),
        (["key", "list", acme], ["till"]),
        (["transaction", "list", acme, "--limit", "3"], [calls[-1], "settled", "gpt-5"]),
    ):
        listed = gateway(*arguments).out
        assert max(map(len, listed.splitlines())) <= width, arguments
        for cell in cells:
            assert cell in listed, (arguments, cell)


def test_the_list_of_businesses_fits_eighty_columns(gateway, acme, monkeypatch):
    """The seed's list: name, balance, expiry and status on a line, the id below the name."""
    gateway("top-up", acme, "77.50")
    monkeypatch.setattr(output, "_console", lambda: Console(width=80))
    for _ in range(2):
        gateway("business", "add", "A business with a longer name", "--email", "a@b")

    lines = [line.rstrip() for line in gateway("business", "list").out.splitlines()]

    row = next(n for n, line in enumerate(lines) if line.strip().startswith("Acme"))
    assert re.fullmatch(r" ?Acme +77\.50 +\d{4}-\d\d-\d\d +active", lines[row])
    assert lines[row + 1].strip() == acme
