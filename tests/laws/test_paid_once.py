"""L6 from the outside: a payment is credited once, whatever Paystack, or a forger, sends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from redis import Redis as BlockingRedis

from gateway.dev.stub_paystack import Webhook
from tests.engine import Engine
from tests.shop import Shop, open_shop

pytestmark = pytest.mark.anyio

REFERENCES = 100
TIMES = 50
FORGED = 200


@pytest.fixture
async def shop(valkey_engine: Engine, records_url: str) -> AsyncIterator[Shop]:
    """A shop on Valkey, on SQLite and on PostgreSQL."""
    with BlockingRedis.from_url(valkey_engine.url) as client:
        client.flushall()
    async with open_shop(redis_url=valkey_engine.url, records_url=records_url) as opened:
        yield opened


async def test_a_hundred_payments_fifty_times_each_are_credited_once_each(shop: Shop) -> None:
    """Shuffled, at once, among 200 forged ones, with payers returning and sweeps beside them."""
    chance = random.Random(51)
    buyers = [await shop.house.business("0", name=f"Buyer {n}") for n in range(10)]
    bought = [await shop.buy(buyers[n % 10]) for n in range(REFERENCES)]
    forged = [forge(shop, one["payment_reference"], chance) for one in bought for _ in range(2)]
    real = [shop.paystack.pay(one["payment_reference"]) for one in bought]
    # Some of the repetitions differ in their bytes, so that the body alone does not tell them.
    sent = [again(shop, webhook, time) for webhook in real for time in range(TIMES)] + forged
    chance.shuffle(sent)

    beside = asyncio.gather(
        *(returns(shop, one["payment_reference"]) for one in bought[::10]),
        *(shop.house.parts.selling.pending.look_once() for _ in range(3)),
    )
    statuses = await shop.paystack.deliver(*sent)
    await beside

    assert len(forged) == FORGED
    assert statuses.count(401) == FORGED
    assert statuses.count(200) == REFERENCES * TIMES
    for acme in buyers:
        assert await shop.available(acme) == "300.00"
    credited = await shop.house.scalar("SELECT COUNT(*) FROM credit_movements")
    completed = await shop.house.scalar(
        "SELECT COUNT(*) FROM ai_credit_purchases WHERE payment_status = 'completed'"
    )
    assert (credited, completed) == (REFERENCES, REFERENCES)
    assert await shop.problems() == []
    assert await shop.listed("/admin/payments/unsettled") == []
    await shop.check_laws()


def again(shop: Shop, webhook: Webhook, time: int) -> Webhook:
    """The same news in other bytes: a blank more, signed anew."""
    if time < TIMES - 3:
        return webhook
    body = webhook.body + b" " * (time - TIMES + 4)
    return Webhook(body, shop.paystack.signature(body))


def forge(shop: Shop, reference: str, chance: random.Random) -> Webhook:
    """A payment that was never made, with a signature that somebody made up."""
    data = shop.paystack.payments[reference].data | {"status": "success"}
    event = shop.paystack.event("charge.success", data)
    wrong = f"{chance.getrandbits(512):0128x}"
    return Webhook(event.body, chance.choice([wrong, "", event.signature[:-1]]))


async def returns(shop: Shop, reference: str) -> None:
    """The payer comes back while the webhooks come in."""
    reply = await shop.client.get("/payments/paystack/callback", params={"reference": reference})
    assert reply.status_code == 200
