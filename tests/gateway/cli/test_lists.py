"""`gateway transaction` and `gateway alert`, and lists of more than one page."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Table, insert

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
