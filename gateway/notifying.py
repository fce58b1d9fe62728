"""Telling of alerts, and how it is made from the settings."""

from __future__ import annotations

from contextlib import AsyncExitStack

from gateway.background.notifier import Notifier, Sends
from gateway.mail import Mail
from gateway.settings import Settings
from gateway.stores import Ledger, Stores
from gateway.webhook import Webhook
from storage.deliveries import Channel


def open_notifier(
    stack: AsyncExitStack, settings: Settings, stores: Stores, ledger: Ledger
) -> Notifier | None:
    """The notifier; None where nothing is set up to tell anybody through."""
    channels = _channels(stack, settings)
    if not channels:
        return None
    return Notifier(stores.database, channels, runs_here=ledger.leases.of_whole("notifier"))


def _channels(stack: AsyncExitStack, settings: Settings) -> dict[Channel, Sends]:
    alerts = settings.alerts
    channels: dict[Channel, Sends] = {}
    if alerts.smtp_host is not None:
        assert alerts.smtp_sender is not None, "the settings were checked to have a sender"
        password = alerts.smtp_password
        channels["email"] = Mail(
            host=alerts.smtp_host,
            port=alerts.smtp_port,
            sender=alerts.smtp_sender,
            tls=alerts.smtp_tls,
            user=alerts.smtp_user,
            password=None if password is None else password.get_secret_value(),
        )
    if alerts.webhook_url is not None:
        assert alerts.webhook_secret is not None, "the settings were checked to have a secret"
        url, secret = alerts.webhook_url, alerts.webhook_secret
        webhook = Webhook(url.get_secret_value(), secret.get_secret_value())
        stack.push_async_callback(webhook.close)
        channels["webhook"] = webhook
    return channels
