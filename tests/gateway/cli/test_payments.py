"""`gateway payments`, `gateway package` and `gateway purchase refund`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
import stamina

from gateway.dev.stub_paystack import SECRET_KEY, StubPaystack
from metering.money import Credits
from storage import payments
from storage.database import Database
from storage.purchases import Purchase
from tests.gateway.cli.conftest import Command


@pytest.fixture
def paystack(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubPaystack]:
    """A stub in a thread of its own: a command has an event loop to itself."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = AsyncExitStack()

    async def enter() -> StubPaystack:
        return await stack.enter_async_context(StubPaystack.serving())

    stub = asyncio.run_coroutine_threadsafe(enter(), loop).result(10)
    monkeypatch.setenv("GATEWAY__PAYSTACK__SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("GATEWAY__PAYSTACK__BASE_URL", stub.origin)
    with stamina.set_testing(True, attempts=3, cap=True):
        yield stub
    asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def begun(records_url: str, business: str, paystack: StubPaystack, count: int) -> list[Purchase]:
    """Pending purchases that Paystack knows."""

    async def work() -> list[Purchase]:
        database = Database.open(records_url)
        async with database.write() as connection:
            made = [
                await payments.begin(
                    connection,
                    business=business,
                    package="Starter",
                    amount_minor=3000,
                    currency="GHS",
                    credits=Credits.parse("30"),
                    bonus=Credits(0),
                    tax_lines=(),
                    provider="paystack",
                    user=None,
                    at=datetime.now(UTC),
                )
                for _ in range(count)
            ]
        await database.close()
        return made

    made = asyncio.run(work())
    for one in made:
        paystack._initialize(
            {"reference": one.payment_reference, "amount": 3000, "currency": "GHS",
             "email": "owner@acme.example", "channels": ["card"],
             "metadata": {"business": business, "purchase": one.id}}
        )  # fmt: skip
    return made


def balance(gateway: Command, business: str) -> str:
    """As recorded."""
    return str(gateway("business", "show", business, "--json").document["balance"])


def test_reconcile_credits_what_was_paid_and_only_once(gateway, acme, records_url, paystack):
    """One paid, one not, one short: 30 credits, and the short one waits for a person."""
    paid, _, short = begun(records_url, acme, paystack, 3)
    paystack.pay(paid.payment_reference)
    paystack.pay(short.payment_reference, amount=2999)

    first = gateway("payments", "reconcile", "--json").document
    again = gateway("payments", "reconcile", "--json").document

    assert (first["asked"], first["credited"], first["pending"], first["problem"]) == (3, 1, 1, 1)
    assert (again["asked"], again["credited"]) == (2, 0)
    assert first["complete"] is True
    assert balance(gateway, acme) == "30.00"
    shown = gateway("payments", "reconcile").out
    assert "2 pending purchases: 0 credited" in shown


def test_reconcile_says_when_paystack_was_away(gateway, acme, records_url, paystack):
    """Exit code 4, and the same command goes on."""
    begun(records_url, acme, paystack, 1)
    paystack.fails["verify"] = 3

    away = gateway("payments", "reconcile")
    after = gateway("payments", "reconcile")

    assert (away.code, after.code) == (4, 0)
    assert "Paystack did not answer about 1" in away.out


def test_what_waits_is_listed_and_decided(gateway, acme, records_url, paystack):
    """`list`, `list --unsettled`, `accept`, `dismiss`; the second decision is refused."""
    one, other = begun(records_url, acme, paystack, 2)
    for each in (one, other):
        paystack.pay(each.payment_reference, amount=2999)
    gateway("payments", "reconcile")

    waiting = gateway("payments", "list", "--json").documents
    unsettled = gateway("payments", "list", "--unsettled", "--json").documents
    first, second = (row["id"] for row in waiting)
    accepted = gateway("payments", "accept", first, "--reason", "ours", "--json").document
    dismissed = gateway("payments", "dismiss", second, "--reason", "sent back", "--json").document
    twice = gateway("payments", "accept", second, "--reason", "no")

    assert [row["why"] for row in waiting] == [row["why"] for row in unsettled] == ["amount"] * 2
    assert (accepted["decision"], dismissed["decision"]) == ("accepted", "dismissed")
    assert accepted["decided_by"].startswith("command:")
    assert (twice.code, "dismissed by command:" in twice.err) == (1, True)
    assert balance(gateway, acme) == "30.00"
    assert gateway("payments", "list", "--unsettled", "--json").documents == []
    assert len(gateway("payments", "list", "--all", "--json").documents) == 2
    statuses = {row["payment_status"] for row in gateway("purchase", "list", "--json").documents}
    assert statuses == {"completed", "failed"}


def test_a_purchase_is_refunded(gateway, acme, records_url, paystack):
    """Paystack is asked; a part first, then the rest, then no more."""
    (bought,) = begun(records_url, acme, paystack, 1)
    paystack.pay(bought.payment_reference)
    gateway("payments", "reconcile")
    paystack.refunds_are = "processed"

    part = gateway("purchase", "refund", bought.id, "--amount", "10.00", "--reason", "r", "--json")
    rest = gateway("purchase", "refund", bought.id, "--reason", "r", "--json")
    more = gateway("purchase", "refund", bought.id, "--reason", "r")

    assert (part.document["amount"], part.document["taken"]) == ("10.00", "10.00")
    assert (rest.document["amount"], rest.document["taken"]) == ("20.00", "20.00")
    assert more.code == 1
    assert gateway("purchase", "show", bought.id, "--json").document["payment_status"] == "refunded"


def test_without_a_key_paystack_cannot_be_asked(gateway):
    """It says which setting helps."""
    ended = gateway("payments", "reconcile")

    assert (ended.code, "paystack.secret_key is not set" in ended.err) == (1, True)


def test_packages_are_listed_with_the_taxes_of_today(gateway, monkeypatch):
    """A price with a tax on top is more to pay."""
    monkeypatch.setenv(
        "GATEWAY__PACKAGES", '[{"name": "Starter", "price": "30.00", "credits": "30"}]'
    )
    monkeypatch.setenv(
        "GATEWAY__TAXES",
        '[{"name": "VAT", "percent": "15", "from": "2026-01-01", "included": false},'
        ' {"name": "Old", "percent": "1", "until": "2026-01-01"}]',
    )

    shown = gateway("package", "list", "--json").document

    assert (shown["price"], shown["to_pay"], shown["credits"]) == ("30.00", "34.50", "30.00")
    assert [tax["name"] for tax in shown["taxes"]] == ["VAT"]
    assert "VAT 4.50" in gateway("package", "list").out


def test_serve_with_packages_and_no_key_is_refused(command, nowhere, monkeypatch):
    """Exit code 5: without the key nobody could tell a payment from a forged one."""
    monkeypatch.setenv("GATEWAY__SQL__URL", f"sqlite+aiosqlite:///{nowhere / 'r.db'}")
    monkeypatch.setenv("GATEWAY__REDIS__URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("GATEWAY__OPENAI__API_KEY", "sk-x")
    monkeypatch.setenv(
        "GATEWAY__PACKAGES", '[{"name": "Starter", "price": "30.00", "credits": "30"}]'
    )

    without = command("serve")
    monkeypatch.setenv("GATEWAY__PAYSTACK__SECRET_KEY", "")
    empty = command("serve")

    assert (without.code, "paystack.secret_key → is needed" in without.err) == (5, True)
    assert (empty.code, "PAYSTACK__SECRET_KEY" in empty.err) == (5, True)
