"""
The laws of the ledger, held against whatever a test has left in Redis and in SQL.

A test ends with `await check_laws(house)`; one whose gateway is a process of its own says
`check_stores`. Each law is a function below, named in `docs/money.md`, and its message says
which business broke it and by how much. Call it when nothing runs: the two stores are read
one after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from gateway.dev.stub_bills import Bill
from metering.money import Credits
from metering.rates import RateCard
from metering.tariff import Tariff
from metering.usage import Usage
from storage.database import Database
from tests.house import House
from tests.laws.seen import Seen, look


async def check_laws(house: House) -> Seen:
    """Every law, on a house in which nothing runs any more."""
    stores = house.parts.stores
    pricing = house.parts.pricing
    return await check_stores(
        stores.redis,
        stores.database,
        tariff=pricing.tariff,
        card=pricing.book.card(),
        bills=house.openai.billed,
    )


async def check_stores(
    redis: Any,
    database: Database,
    *,
    tariff: Tariff,
    card: RateCard,
    bills: Iterable[Bill] = (),
) -> Seen:
    """Every law, on the stores of a gateway that may run elsewhere; gives what was seen."""
    seen = await look(redis, database)
    check_ledger(seen)
    each_bill_has_its_row(seen, bills)
    amounts(seen, tariff, card)
    return seen


def check_ledger(seen: Seen) -> None:
    """Every law that does not ask what OpenAI billed or what it costs."""
    for business in seen.balances:
        shape(seen, business)
        conservation(seen, business)
        no_gaps(seen, business)
        money_in(seen, business)
        floor(seen, business)
        alerts(seen, business)
    keys(seen)
    counters(seen)


def shape(seen: Seen, business: str) -> None:
    """L1: held = Σ open holds; 0 ≤ held ≤ total; owed ≥ 0; a deadline for each hold."""
    account = seen.accounts.get(business)
    holds = seen.holds.get(business, {})
    deadlines = {hold for owner, hold in seen.deadlines if owner == business}
    if account is None:
        assert not holds, f"{business} has holds and no account"
        assert not deadlines, f"{business} has deadlines and no account"
        return
    granted = sum(int(text.partition("|")[0]) for text in holds.values())
    assert account.held == granted, f"{business}: held {account.held}, open holds {granted}"
    assert 0 <= account.held <= account.total, f"{business}: {account}"
    assert account.owed >= 0, f"{business}: {account}"
    assert deadlines == set(holds), f"{business}: deadlines and holds differ"


def keys(seen: Seen) -> None:
    """L1 of a key: its places and what it holds are its open holds; its spent is its rows'."""
    for (business, key), counted in seen.limits.items():
        mine = [text for text in seen.holds[business].values() if f"limits:{key}|" in text]
        assert int(counted["open"]) == len(mine), f"{key}: {counted}, {len(mine)} holds"
        held = sum(int(text.partition("|")[0]) for text in mine)
        assert int(counted["held"]) == held, f"{key}: {counted}, {held} held"
        if "before" not in counted:
            continue
        rows = [row for row in seen.transactions_of(business) if row.key_id == key]
        waiting = [
            entry
            for entry in seen.waiting_of(business)
            if entry["kind"] == "transaction" and f'"key_id":"{key}"' in entry["row"]
        ]
        charged = sum(row.credits_used_microcredits for row in rows)
        charged += sum(int(entry["charged"]) for entry in waiting)
        spent = int(counted["before"]) + int(counted["spent"])
        assert spent == charged, f"{key}: {counted}, charged {charged}"


def conservation(seen: Seen, business: str) -> None:
    """L2: Redis has what SQL has, but for what is on its way between the two."""
    balance = seen.balances[business]
    moved = sum(row.amount_microcredits for row in seen.movements_of(business))
    charged = sum(row.credits_used_microcredits for row in seen.transactions_of(business))
    assert balance.balance_microcredits == moved - charged, (
        f"{business}: SQL has {balance.balance_microcredits}, moved {moved}, charged {charged}"
    )
    account = seen.accounts.get(business)
    if account is None:
        return
    to_redis = sum(
        row.requested_microcredits
        for row in seen.movements_of(business)
        if row.requested_microcredits > 0 and row.credit_seq > account.credit_seq
    )
    to_sql = sum(_signed(entry) for entry in seen.waiting_of(business))
    assert account.total == balance.balance_microcredits - to_redis + to_sql, (
        f"{business}: Redis has {account.total}, SQL {balance.balance_microcredits}, "
        f"{to_redis} on the way to Redis, {to_sql} on the way to SQL"
    )


def no_gaps(seen: Seen, business: str) -> None:
    """L3: the changes that Redis made are numbered 1, 2, 3, … over all tables and the outbox."""
    numbers = [
        row.seq
        for row in (*seen.transactions_of(business), *seen.movements_of(business))
        if row.seq is not None
    ]
    numbers += [int(entry["seq"]) for entry in seen.waiting_of(business)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1)), (
        f"{business}: seq has gaps or doubles: {sorted(numbers)}"
    )
    account = seen.accounts.get(business)
    assert account is None or account.seq == len(numbers), f"{business}: {account}"


def each_bill_has_its_row(seen: Seen, bills: Iterable[Bill]) -> None:
    """L4: what OpenAI billed has one row, and what was settled was billed."""
    bills = list(bills)
    if not bills:
        return
    billed = Counter(bill.transaction for bill in bills)
    assert max(billed.values()) == 1, f"forwarded twice: {billed.most_common(3)}"
    waiting = {entry["id"] for entry in seen.outbox if entry["kind"] == "transaction"}
    rows = {row.id for row in seen.transactions} | waiting
    lost = set(billed) - rows
    assert not lost, f"{len(lost)} of {len(billed)} billed calls have no row: {sorted(lost)[:3]}"
    settled = {row.id for row in seen.transactions if row.outcome == "settled"}
    invented = settled - set(billed)
    assert not invented, f"settled and never billed: {sorted(invented)[:3]}"


def amounts(seen: Seen, tariff: Tariff, card: RateCard) -> None:
    """L5: charged + shortfall is the price, by the version that the row names."""
    charged_before = {row.id: row.credits_used_microcredits for row in seen.transactions}
    cost_before = {row.id: row.cost_to_us_picodollars for row in seen.transactions}
    for row in seen.transactions:
        charged, shortfall = row.credits_used_microcredits, row.shortfall_microcredits
        assert shortfall >= 0, row
        if row.outcome == "released":
            assert charged == shortfall == 0, row
        elif row.outcome == "orphaned" or row.usage_source != "reported":
            assert 0 <= charged <= row.credits_held_microcredits, row
        else:
            rate, usage = card.rate_of(row.price_version), Usage.from_names(row.usage)
            in_scope = row.feature in seen.features_of.get(row.key_id, frozenset())
            price = tariff.charge(rate, usage, row.feature, in_scope).credits_used
            whole = charged + shortfall + charged_before.get(row.adjusts, 0)
            assert Credits(whole) == price, f"{row.id}: {whole} instead of {price.micro}"
            # Only who has nothing left may be charged less than the price.
            covered = min(price.micro, row.credits_held_microcredits)
            assert row.adjusts or charged >= covered, row
            cost = row.cost_to_us_picodollars + cost_before.get(row.adjusts, 0)
            assert cost == rate.cost(usage).pico, row


def money_in(seen: Seen, business: str) -> None:
    """L6: each payment is credited once, and each credit event is applied once, in order."""
    numbers = sorted(
        row.credit_seq for row in seen.movements_of(business) if row.credit_seq is not None
    )
    assert numbers == list(range(1, len(numbers) + 1)), f"{business}: credit_seq {numbers}"
    assert seen.balances[business].credit_seq == len(numbers), f"{business}: {numbers}"
    account = seen.accounts.get(business)
    assert account is None or account.credit_seq <= len(numbers), f"{business}: {account}"
    receipts = [row for row in seen.purchases if row.business_id == business]
    references = Counter((row.provider, row.payment_reference) for row in receipts)
    assert not references or max(references.values()) == 1, references
    bought = sum(
        row.credits_purchased_microcredits + row.bonus_credits_microcredits
        for row in receipts
        if row.payment_status in ("completed", "refunded")
    )
    credited = sum(
        row.amount_microcredits
        for row in seen.movements_of(business)
        if row.kind in ("purchase", "bonus")
    )
    assert credited == bought, f"{business}: receipts for {bought}, credited {credited}"


def floor(seen: Seen, business: str) -> None:
    """L7: available is never below zero, in Redis, in SQL, and after any change of them."""
    account = seen.accounts.get(business)
    assert account is None or account.total - account.held >= 0, f"{business}: {account}"
    assert seen.balances[business].balance_microcredits >= 0, business
    for entry in seen.waiting_of(business):
        assert int(entry["balance"]) >= 0, entry


ARMS = {
    "low_balance": ("add", "configure"),
    "depleted": ("add", "configure"),
    "expired": ("add",),
}
"""The credit events that can arm each alert again."""


def alerts(seen: Seen, business: str) -> None:
    """L9: one for each crossing since the last arming; and for each expiry that was booked."""
    raised = [row for row in seen.alerts if row.business_id == business]
    for alert, verbs in ARMS.items():
        at = sorted(row.credit_seq for row in raised if row.alert_type == alert)
        armed = {
            row.credit_seq
            for row in seen.movements_of(business)
            if row.credit_seq and row.event["verb"] in verbs
        }
        for first, second in pairwise(at):
            between = armed & set(range(first + 1, second + 1))
            assert between, f"{business}: {alert} was told at {first} and at {second}, not armed"
    expired = any(row.kind == "expired" for row in seen.movements_of(business))
    told = any(row.alert_type == "expired" for row in raised)
    assert expired == told, f"{business}: expired {expired}, told {told}"


def counters(seen: Seen) -> None:
    """L10: Redis counts on from what SQL has recorded of it, in the same epoch."""
    for row in seen.partitions:
        meta = seen.metas[row.partition]
        assert meta.get("epoch") == str(row.epoch), f"{row}: {meta}"
        assert int(meta["counter"]) >= row.highest_counter, f"{row}: {meta}"
        assert not meta.get("frozen"), f"{row}: {meta}"
        assert row.frozen_reason is None, row


def _signed(entry: dict[str, Any]) -> int:
    """What an entry that SQL does not have yet changed the total by, in micro-credits."""
    taken = entry["charged"] if entry["kind"] == "transaction" else entry["amount"]
    return -int(taken)
