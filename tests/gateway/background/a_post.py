"""A notifier between a real mail server and a real receiver of webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.background.notifier import Notifier
from gateway.mail import Mail
from gateway.webhook import Webhook
from storage import alerts, deliveries, transactions
from storage.database import Database
from storage.deliveries import CHANNELS, Delivery
from tests.gateway.background.receivers import MailServer, Receiver
from tests.storage.outbox_entries import NOW, Redis, add_business

SECRET = "whsec_" + "c2VjcmV0" * 4


@dataclass
class Post:
    """A notifier between real servers, with a clock of its own."""

    database: Database
    mail: MailServer
    hooks: Receiver
    webhook: Webhook
    now: datetime = NOW
    jitter: float = 0.0
    made: Any = field(init=False)

    def __post_init__(self) -> None:
        mail = Mail(
            *("127.0.0.1", self.mail.port, "credits@gateway.example", "none"),
        )
        self.made = Notifier(
            self.database,
            {"email": mail, "webhook": self.webhook},
            clock=lambda: self.now,
            jitter=lambda: self.jitter,
            every_s=0.01,
        )

    async def alert(self, types: str = "low_balance", *, times: int = 1) -> alerts.Alert:
        """The last one of a new business."""
        acme = await add_business(self.database, topped_up="12")
        redis = Redis(acme.id, balance=8_000_000)
        entries = [redis.charges("0.001", alerts=types) for _ in range(times)]
        async with self.database.write() as connection:
            await transactions.record(connection, entries, at=NOW, channels=CHANNELS)
            [alert] = await alerts.page(connection, acme.id, limit=5)
        return alert

    async def send(self, **after: float) -> None:
        """One look at each channel, some time later."""
        self.now += timedelta(**after)
        for channel in CHANNELS:
            await self.made.send_due(channel)

    async def of(self, alert: alerts.Alert) -> dict[str, Delivery]:
        async with self.database.read() as connection:
            found = await deliveries.of_alerts(connection, [alert.id])
        return {each.channel: each for each in found.get(alert.id, [])}

    async def state(self, alert: alerts.Alert) -> str:
        async with self.database.read() as connection:
            [found] = await alerts.page(connection, alert.business, limit=2)
        return found.delivery_state


@pytest.fixture
async def post(database: Database) -> AsyncIterator[Post]:
    async with MailServer().serving() as mail, Receiver(SECRET).serving() as hooks:
        webhook = Webhook(hooks.url, SECRET)
        yield Post(database, mail, hooks, webhook)
        await webhook.close()
