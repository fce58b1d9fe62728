"""The notifier: what was written with an alert arrives, late if it must be, and then once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.background.notifier import Notifier
from gateway.telling import NotTold
from gateway.webhook import Webhook
from storage import alerts, deliveries, transactions
from storage.database import Database
from storage.deliveries import CHANNELS
from storage.errors import Conflict, NotFound
from storage.ids import new_id
from tests.gateway.background.a_post import SECRET, Post
from tests.gateway.background.receivers import MailServer, Receiver
from tests.storage.outbox_entries import NOW, Redis, add_business

pytestmark = pytest.mark.anyio


async def test_owner_and_operator_are_told(post: Post) -> None:
    """A mail with the figures, and a signed event; then neither again."""
    alert = await post.alert()

    await post.send()
    await post.send(hours=1)

    [mail], [event] = post.mail.mails, post.hooks.events
    assert (mail["To"], mail["From"]) == ("owner@acme.example", "credits@gateway.example")
    assert mail["Subject"] == "Acme: 8.00 credits are left"
    text = mail.get_content()
    assert "Balance:     8.00 credits" in text
    assert "Warned at:   10.00 credits" in text
    assert "buy credits" in text
    assert event["type"] == "credits.low"
    assert event["data"]["balance"] == "8.00"
    assert event["data"]["business_id"] == alert.business
    told = await post.of(alert)
    assert post.hooks.ids == [told["webhook"].id]
    assert {each.state for each in told.values()} == {"sent"}
    assert await post.state(alert) == "sent"


@pytest.mark.parametrize(
    ("type", "event", "words"),
    [("depleted", "credits.depleted", "used up"), ("expired", "credits.expired", "expired")],
)
async def test_each_kind_is_told(post: Post, type: str, event: str, words: str) -> None:
    """In words of its own."""
    await post.alert(type)

    await post.send()

    assert [each["type"] for each in post.hooks.events] == [event]
    assert words in post.mail.mails[0].get_content()


async def test_a_dead_mail_server_loses_nothing(database: Database) -> None:
    """The webhook arrives meanwhile; the mail does when the server is back, once."""
    dead = MailServer()
    async with dead.serving():
        pass
    async with Receiver(SECRET).serving() as hooks:
        webhook = Webhook(hooks.url, SECRET)
        post = Post(database, dead, hooks, webhook)
        alert = await post.alert()
        await post.send()

        told = await post.of(alert)
        assert (told["webhook"].state, told["email"].state) == ("sent", "pending")
        assert (told["email"].attempts, told["email"].next_attempt_at) == (
            1,
            NOW + timedelta(seconds=5),
        )
        assert told["email"].last_error == "the mail server: SMTPConnectError"
        assert await post.state(alert) == "pending"

        async with dead.serving():
            await post.send(seconds=4.999)
            assert dead.mails == []
            await post.send(seconds=0.001)
            await post.send(hours=1)
        await webhook.close()

    assert (len(dead.mails), len(hooks.events)) == (1, 1)
    assert await post.state(alert) == "sent"


async def test_a_mail_server_that_hangs_does_not_hold_up_webhooks(post: Post) -> None:
    """Each channel has a loop of its own."""
    arrived, never = asyncio.Event(), asyncio.Event()

    class Hangs:
        async def send(self, notice: deliveries.Notice) -> None:
            await never.wait()

    class Arrives:
        async def send(self, notice: deliveries.Notice) -> None:
            arrived.set()

    await post.alert()
    channels: Any = {"email": Hangs(), "webhook": Arrives()}
    notifier = Notifier(post.database, channels, clock=lambda: NOW, every_s=0.01)
    task = asyncio.create_task(notifier.run())
    async with asyncio.timeout(20):
        await arrived.wait()
    task.cancel()
    await asyncio.wait([task])


async def test_it_is_given_up_after_72_hours(post: Post) -> None:
    """Pauses double up to an hour; what is noted names neither the address nor its token."""
    post.hooks.status, post.mail.answers = 500, "451 later"
    alert = await post.alert()
    pauses = []
    for _ in range(100):
        await post.send()
        told = (await post.of(alert))["webhook"]
        if told.next_attempt_at is None:
            break
        pauses.append((told.next_attempt_at - post.now).total_seconds())
        post.now = told.next_attempt_at

    assert pauses[:4] == [5, 10, 20, 40]
    assert max(pauses) == 3600
    assert timedelta(hours=71) <= post.now - NOW <= timedelta(hours=72)
    assert (told.state, told.last_error) == ("failed", "the webhook's server answered 500")
    assert (await post.of(alert))["email"].last_error == "the mail server answered 451"
    assert await post.state(alert) == "failed"


async def test_pauses_differ(post: Post) -> None:
    """Half of a pause at least, and never more than an hour."""
    post.jitter = 1.0

    assert post.made.pause(0) == timedelta(seconds=2.5)
    assert post.made.pause(10_000) == timedelta(minutes=30)


async def test_two_notifiers_send_it_once(post: Post) -> None:
    """Both found it due; one may send it."""
    await post.alert()
    async with post.database.read() as connection:
        [notice] = await deliveries.due(connection, "email", at=NOW, limit=5)

    await asyncio.gather(*(post.made._try("email", notice) for _ in range(5)))

    assert len(post.mail.mails) == 1


async def test_what_died_while_sending_is_sent_again(post: Post) -> None:
    """A claim ends; the id is the same, so the receiver can tell."""
    await post.alert()
    async with post.database.write() as connection:
        [notice] = await deliveries.due(connection, "webhook", at=NOW, limit=5)
        assert await deliveries.claim(connection, notice, at=NOW)

    await post.send(seconds=119)
    assert post.hooks.events == []
    await post.send(seconds=1)

    assert post.hooks.ids == [notice.id]


async def test_an_owner_of_any_name_is_told(post: Post) -> None:
    """A line break in a name is no header of its own."""
    await post.alert()
    async with post.database.read() as connection:
        [notice] = await deliveries.due(connection, "email", at=NOW, limit=1)

    named = replace(notice, business_name="Ama\r\nBcc: all@example.com")

    message = post.made._channels["email"].message(named)

    assert message["Bcc"] is None
    assert message["Subject"].startswith("Ama Bcc: all@example.com:")


async def test_an_address_that_cannot_be_is_not_fatal(post: Post) -> None:
    """It is noted like any other failure."""
    await post.alert()
    async with post.database.read() as connection:
        [notice] = await deliveries.due(connection, "email", at=NOW, limit=1)

    with pytest.raises(NotTold, match="ValueError"):
        await post.made._channels["email"].send(
            replace(notice, owner_email="a@b.example\r\nBcc: c@d.example")
        )


async def test_a_thousand_crossings_are_told_once(post: Post) -> None:
    """One alert of an arming, however many calls say so at once, and one delivery a channel."""
    acme = await add_business(post.database, topped_up="12")
    redis = Redis(acme.id, balance=8_000_000)
    entries = [redis.charges("0.001", alerts="low_balance") for _ in range(1000)]

    async def record(some: list[Any]) -> None:
        async with post.database.write() as connection:
            await transactions.record(connection, some, at=NOW, channels=CHANNELS)

    await asyncio.gather(*(record(entries[at : at + 50]) for at in range(0, 1000, 50)))
    await post.send()

    async with post.database.read() as connection:
        [alert] = await alerts.page(connection, acme.id, limit=5)
    assert sorted(await post.of(alert)) == ["email", "webhook"]
    assert (len(post.mail.mails), len(post.hooks.events)) == (1, 1)


async def test_without_channels_nothing_is_sent(post: Post) -> None:
    """The alert is stored all the same."""
    acme = await add_business(post.database, topped_up="12")
    entry = Redis(acme.id).charges("4", alerts="low_balance")
    async with post.database.write() as connection:
        await transactions.record(connection, [entry], at=NOW)
        [alert] = await alerts.page(connection, acme.id, limit=5)

    assert await post.of(alert) == {}


async def test_an_alert_is_sent_again(post: Post) -> None:
    """Once more through each channel, with another 72 hours."""
    alert = await post.alert()
    await post.send()
    later = NOW + timedelta(days=30)

    async with post.database.write() as connection:
        await deliveries.send_again(connection, alert.id, CHANNELS, at=later)
    assert await post.state(alert) == "pending"
    await post.send(days=30)

    assert (len(post.mail.mails), len(post.hooks.events)) == (2, 2)
    assert await post.state(alert) == "sent"


async def test_what_cannot_be_sent_again(post: Post) -> None:
    """No such alert, or no channel."""
    alert = await post.alert()
    async with post.database.write() as connection:
        with pytest.raises(NotFound, match="no alert"):
            await deliveries.send_again(connection, new_id(), CHANNELS, at=NOW)
        with pytest.raises(Conflict, match=r"alerts\.smtp_host"):
            await deliveries.send_again(connection, alert.id, (), at=NOW)
