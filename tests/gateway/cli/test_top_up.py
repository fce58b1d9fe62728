"""`gateway top-up`, `adjust` and `purchase`: with the gateway stopped, all of it is SQL."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from sqlalchemy import update

from metering.money import Credits
from storage.database import Database
from storage.tables import business_ai_credits

BAD_AMOUNTS = ["-1", "1e3", "NaN", "Infinity", "1000000000000000000", "0", "", " ", "+1", "1_000",
               "1,5", "٣", "1.0000001", "-0"]  # fmt: skip


def balance(gateway, business: str) -> str:
    return str(gateway("business", "show", business, "--json").document["balance"])


def test_a_top_up_leaves_a_receipt(gateway, acme):
    """Credits, bonus, money and reference, in words and in the list."""
    said = gateway(
        "top-up", acme, "80", "--bonus", "20", "--amount-paid", "80.00", "--currency", "GHS",
        "--reference", "T-1", "--method", "mobile_money", "--user", "ama", "--note", "at the till",
    )  # fmt: skip

    assert said.code == 0
    assert said.out.startswith("added 80.00 + 20.00 credits; the balance is 100.00 until 20")
    receipt = gateway("purchase", "list", acme, "--json").document
    assert receipt["id"] in said.out
    assert receipt["amount_paid"] == "80.00"
    assert receipt["payment_method"] == "mobile_money"
    assert receipt["applied_at"] is None
    assert gateway("purchase", "show", receipt["id"], "--json").document == receipt
    assert "T-1" in gateway("purchase", "list").out


def test_the_same_reference_twice_adds_once(gateway, acme):
    """The refusal names the purchase that exists."""
    first = gateway("top-up", acme, "30", "--reference", "T-1", "--json").document
    again = gateway("top-up", acme, "30", "--reference", "T-1")

    assert again.code == 1
    assert first["purchase"]["id"] in again.err
    assert again.err.startswith("gateway: ")
    assert again.err.count("\n") == 1
    assert again.out == ""
    assert balance(gateway, acme) == "30.00"
    assert len(gateway("purchase", "list", acme, "--json").documents) == 1


def test_amounts_that_are_none_are_refused(gateway, acme):
    """In the words of the API; nothing is written."""
    for amount in BAD_AMOUNTS:
        ended = gateway("top-up", acme, amount)

        assert ended.code == 2, amount
        assert ended.err.startswith("gateway: credits: "), amount
        assert ended.err.count("\n") == 1
    assert gateway("top-up", acme, "5", "--bonus", "-1").err.startswith("gateway: bonus_credits: ")
    assert gateway("top-up", acme, "5", "--amount-paid", "1.001").code == 2
    assert balance(gateway, acme) == "0.00"
    assert gateway("purchase", "list", "--json").documents == []


def test_a_balance_that_would_be_too_large_is_refused(gateway, acme):
    """Exit 1: the command is right, the state does not allow it."""
    gateway("top-up", acme, "999999999.999999")
    ended = gateway("top-up", acme, "1")

    assert ended.code == 1
    assert "the most a balance can be" in ended.err
    assert balance(gateway, acme) == "999999999.999999"


def test_an_adjustment_is_signed(gateway, acme):
    """Minus is not an option; what is taken waits for the ledger."""
    assert gateway("adjust", acme, "2.5", "--reason", "goodwill").code == 0
    assert balance(gateway, acme) == "2.50"

    taken = gateway("adjust", acme, "-1", "--reason", "entered twice", "--json").document

    assert taken["adjustment"]["credits"] == "-1.00"
    assert taken["balance"] == "2.50"


@pytest.mark.parametrize("amount", ["0", "-0", "1e3", "NaN", "-1000000000"])
def test_adjustments_of_no_amount_are_refused(gateway, acme, amount):
    """In words."""
    ended = gateway("adjust", acme, amount, "--reason", "r")

    assert ended.code == 2
    assert ended.err.startswith("gateway: credits: ")


def test_what_is_owed_is_said(gateway, acme, owes):
    """By the record, and wherever credits come or go."""
    gateway("top-up", acme, "30")
    owes(acme, "12.5")

    assert gateway("business", "show", acme, "--json").document["owed"] == "12.50"
    assert re.search(r"owed +12\.50", gateway("business", "show", acme).out)
    topped_up = gateway("top-up", acme, "5").out
    assert (
        "added 5.00 credits; 12.50 are owed and paid first, so that 22.50 will be available until"
        in topped_up
    )
    assert gateway("adjust", acme, "1", "--reason", "r").out == (
        "added 1.00 credits; 12.50 are owed and paid first, so that 23.50 will be available\n"
    )
    assert gateway("adjust", acme, "-40", "--reason", "r").out == (
        "40.00 credits will be taken; 36.00 are recorded until then, and 12.50 are owed already; "
        "0.00 will be available and 16.50 owed\n"
    )
    assert "so that 0.00 will be available and 6.50 still owed" in gateway("top-up", acme, "10").out


def test_scripts_are_told_what_is_not_applied_yet(gateway, acme, owes):
    """A command writes to SQL; what Redis has yet to hear of says so, and what there will be."""
    assert gateway("business", "set", acme, "--name", "Other", "--json").document["applied"] is True
    added = gateway("top-up", acme, "30", "--json").document
    owes(acme, "12.5")
    later = gateway("top-up", acme, "2", "--json").document
    taken = gateway("adjust", acme, "-1.5", "--reason", "r", "--json").document
    suspended = gateway("business", "suspend", acme, "--json").document

    after = ("applied", "balance", "owed", "available_after", "owed_after")
    assert [added[name] for name in after] == [False, "30.00", "0.00", "30.00", "0.00"]
    assert [later[name] for name in after] == [False, "32.00", "12.50", "19.50", "0.00"]
    assert [taken[name] for name in after] == [False, "32.00", "12.50", "18.00", "0.00"]
    assert (suspended["status"], suspended["applied"]) == ("suspended", False)


@pytest.fixture
def owes(records_url: str) -> Callable[[str, str], None]:
    """Lets a business owe credits, as the recorder would after a take-back."""

    async def write(business: str, owed: str) -> None:
        database = Database.open(records_url)
        async with database.write() as connection:
            await connection.execute(
                update(business_ai_credits)
                .where(business_ai_credits.c.business_id == business)
                .values(owed_microcredits=Credits.parse(owed).micro)
            )
        await database.close()

    return lambda business, owed: asyncio.run(write(business, owed))
