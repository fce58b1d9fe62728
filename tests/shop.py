"""A house that sells: with a stub Paystack on a real socket, and packages to buy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import stamina

from gateway.dev.stub_paystack import SECRET_KEY, StubPaystack
from metering.money import Credits
from storage import purchases
from storage.purchases import Purchase
from tests.house import ADMIN_TOKEN, Acme, House, open_house
from tests.laws.laws import check_laws

PACKAGES = (
    '[{"name": "Starter", "price": "30.00", "credits": "30"},'
    ' {"name": "Shop", "price": "80.00", "credits": "80", "bonus": "20"}]'
)
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


class Shop:
    """The house, Paystack, and what a buyer does."""

    def __init__(self, house: House, paystack: StubPaystack) -> None:
        self.house = house
        self.paystack = paystack
        self.client = house.client
        self.settling = house.parts.selling.settling

    async def buy(self, acme: Acme, package: str = "Starter") -> dict[str, Any]:
        """Begin a purchase; what the business is answered."""
        reply = await self.client.post(
            "/portal/purchases", json={"package": package}, headers=acme.headers
        )
        assert reply.status_code == 200, reply.text
        bought: dict[str, Any] = reply.json()
        return bought

    async def status(self, acme: Acme, id: str) -> str:
        """What the business is told of its purchase."""
        reply = await self.client.get(f"/portal/purchases/{id}", headers=acme.headers)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["payment_status"])

    async def processed(self) -> None:
        """Wait until every webhook that was answered is acted on, and Redis has it."""
        await self.settling.process_waiting()
        await self.house.parts.loops.crediting.apply_all()

    async def available(self, acme: Acme) -> str:
        """What the business can use, once everything has arrived."""
        await self.processed()
        await self.house.quiet()
        return str(await acme.available())

    async def problems(self) -> list[str]:
        """Why payments wait for a person, as an admin is told."""
        return [row["why"] for row in await self.listed("/admin/payments/problems")]

    async def listed(self, path: str) -> list[dict[str, Any]]:
        """A list of the admin API."""
        reply = await self.client.get(path, headers=ADMIN)
        assert reply.status_code == 200, reply.text
        rows: list[dict[str, Any]] = reply.json()["data"]
        return rows

    async def receipt(self, id: str) -> Purchase:
        """The purchase as SQL has it."""
        async with self.house.database.read() as connection:
            return await purchases.get(connection, id)

    async def check_laws(self) -> None:
        """Every law of the ledger, once everything has arrived."""
        await self.processed()
        await check_laws(self.house)

    async def pending(self) -> tuple[Acme, dict[str, Any]]:
        """A business with a purchase that is not paid yet."""
        acme = await self.house.business("0")
        return acme, await self.buy(acme)

    async def paid_business(self, credits: str = "0.00") -> tuple[Acme, dict[str, Any]]:
        """A business that bought a Starter and paid it."""
        acme = await self.house.business(credits)
        bought = await self.buy(acme)
        await self.paystack.deliver(self.paystack.pay(bought["payment_reference"]))
        assert await self.available(acme) == str(Credits.parse(credits) + Credits.parse("30"))
        return acme, bought


@asynccontextmanager
async def open_shop(*, redis_url: str, records_url: str, **settings: str) -> AsyncIterator[Shop]:
    """A shop on these engines; our own calls are repeated without waiting."""
    with stamina.set_testing(True, attempts=3, cap=True):
        async with (
            StubPaystack.serving() as paystack,
            open_house(
                redis_url=redis_url,
                records_url=records_url,
                packages=PACKAGES,
                paystack__secret_key=SECRET_KEY,
                paystack__base_url=paystack.origin,
                **settings,
            ) as house,
        ):
            paystack.webhook_url = f"{house.url}/webhooks/paystack"
            yield Shop(house, paystack)


def now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)
