"""
The sections of config.toml, each a frozen value with its defaults.

`config.example.toml` explains every key to the operator; a test keeps the two equal.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from gateway.currency import parse_money
from gateway.settings_fields import (
    AdminToken,
    Amount,
    Count,
    Currency,
    Host,
    HttpUrl,
    MoneyText,
    Network,
    OutOfCreditsStatus,
    Port,
    Rate,
    RedisUrl,
    Seconds,
    Secret,
    SecretUrl,
    SigningSecret,
    SqlUrl,
    WebhookSecret,
    Whole,
    is_sha256,
)
from metering.money import Credits
from storage.deliveries import Channel
from storage.limits import MOST_PER_MINUTE

PerMinute = Annotated[Count, Field(le=MOST_PER_MINUTE)]
UpstreamName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
Days = Annotated[Count, Field(le=365)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/-]{1,100}$")]


class Section(BaseModel):
    """A section of the file: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )


class ServerSection(Section):
    """Where the gateway listens, and what it lets in."""

    host: Host = "127.0.0.1"
    port: Port = 8080
    workers: Annotated[Count, Field(le=256)] = 1
    body_max_bytes: Annotated[Count, Field(le=2**31 - 1)] = 32 * 2**20
    allowed_hosts: tuple[Host, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()


class OpenAISection(Section):
    """The one upstream."""

    base_url: HttpUrl = "https://api.openai.com/v1"
    api_key: Secret | None = None
    admin_key: Secret | None = None
    connect_timeout_s: Seconds = 5
    first_byte_timeout_s: Seconds = 600
    total_timeout_s: Seconds = 3600
    drain_timeout_s: Seconds = 120
    drains_max: Annotated[Whole, Field(ge=0)] = 1000
    max_connections: Count = 1000


class UpstreamSection(Section):
    """A key of OpenAI for the businesses that name it; no base_url: as for all."""

    api_key: Secret
    base_url: HttpUrl | None = None


class RedisSection(Section):
    """Where balances are decided."""

    url: RedisUrl | None = None
    durability: Literal["aof_always", "aof_everysec", "waitaof"] = "aof_always"

    @property
    def embedded(self) -> bool:
        """Whether the gateway starts a Valkey of its own."""
        return self.url is not None and self.url.get_secret_value() == "embedded"


class SqlSection(Section):
    """Where the records are kept."""

    url: SqlUrl | None = None

    @property
    def sqlite(self) -> bool:
        """Whether the records are one file, which one process may write."""
        return self.url is not None and self.url.get_secret_value().startswith("sqlite")


class CreditsSection(Section):
    """What a call costs, and what a new business begins with."""

    credits_per_usd: Rate = Decimal("12.00")
    markup: Rate = Decimal("1.50")
    minimum: Amount = Credits(0)
    default_max_output_tokens: Count = 16384
    min_output_tokens: Count = 256
    fit: Literal["affordable", "never"] = "affordable"
    low_balance_threshold: Amount = Credits(10_000_000)
    expires_after_months: Annotated[Count, Field(le=120)] = 6
    out_of_credits_status: OutOfCreditsStatus = 402
    trial_credits: Amount = Credits(50_000_000)


class FeatureSection(Section):
    """The price of one feature, and what bounds its cost to us."""

    credits: Amount | None = None
    multiplier: Rate | None = None
    models: tuple[Name, ...] = ()
    max_input_tokens: Count | None = None
    max_output_tokens: Count | None = None
    max_n: Annotated[Count, Field(le=128)] | None = None
    allow_loss: bool = False

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if (self.credits is None) == (self.multiplier is None):
            raise ValueError("give either credits (a fixed price) or multiplier")
        return self


class ModelSection(Section):
    """What one model costs here, where that differs from the general rate."""

    credits_per_usd: Rate | None = None
    multiplier: Rate | None = None
    allowed: bool = True

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if self.credits_per_usd is not None and self.multiplier is not None:
            raise ValueError("give either credits_per_usd or multiplier, not both")
        return self


class PackageSection(Section):
    """Something a business can buy; `price_minor` is what it pays in minor units."""

    name: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,100}$")]
    price: MoneyText
    currency: Currency = "GHS"
    credits: Amount
    bonus: Amount = Credits(0)

    @property
    def price_minor(self) -> int:
        """The price in whole minor units of its currency."""
        return parse_money(self.price, self.currency)

    @model_validator(mode="after")
    def _sold_for_something(self) -> Self:
        if not self.price_minor:
            raise ValueError("price should be greater than 0; a gift is a top-up by an admin")
        if not self.credits:
            raise ValueError("credits should be greater than 0")
        return self


class TaxSection(Section):
    """A tax on what is bought, from a day on: a line of the receipt."""

    name: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,100}$")]
    percent: Annotated[Rate, Field(lt=1000)]
    since: Annotated[date | None, Field(alias="from")] = None
    until: date | None = None
    included: bool = True

    @model_validator(mode="after")
    def _holds_for_a_day(self) -> Self:
        if self.since and self.until and self.until <= self.since:
            raise ValueError("until should be after from; it is the first day without the tax")
        return self


class HoldsSection(Section):
    """How long a call may be silent before its hold is swept."""

    lease_s: Annotated[Seconds, Field(ge=1, le=86_400)] = 120
    sweep_every_s: Seconds = 10


class RecorderSection(Section):
    """How finished calls get from Redis to SQL."""

    batch: Annotated[Count, Field(le=10_000)] = 500
    every_ms: Count = 50
    backlog_max_bytes: Count = 512 * 2**20
    in_workers: bool = True


class IdempotencySection(Section):
    """What is kept in Redis of calls with an Idempotency-Key, for 24 hours."""

    reply_max_bytes: Annotated[Whole, Field(ge=0, le=2**24)] = 2**20
    business_max_bytes: Annotated[Count, Field(le=10**12)] = 16 * 2**20
    total_max_bytes: Annotated[Count, Field(le=10**12)] = 2**30


class LimitsSection(Section):
    """The most an API key may do that has no limits of its own; without a number, anything."""

    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None
    concurrent: Annotated[Count, Field(le=100_000)] | None = None


class AdminSection(Section):
    """Who may use the admin API, and where it listens."""

    token: AdminToken | None = None
    metrics_token: AdminToken | None = None
    host: Host | None = None
    port: Annotated[Port, Field(ge=1)] | None = None

    @property
    def token_digest(self) -> bytes | None:
        """SHA-256 of the token; 64 hexadecimal characters are the digest already."""
        return _digest(self.token)

    @property
    def metrics_token_digest(self) -> bytes | None:
        """The same of the token that opens /metrics and nothing else."""
        return _digest(self.metrics_token)

    @model_validator(mode="after")
    def _host_needs_port(self) -> Self:
        if self.host is not None and self.port is None:
            raise ValueError("host is set and port is not; a listener of its own needs both")
        return self


def _digest(token: SecretStr | None) -> bytes | None:
    if token is None:
        return None
    text = token.get_secret_value()
    return bytes.fromhex(text) if is_sha256(text) else sha256(text.encode()).digest()


class PaystackSection(Section):
    """Where businesses pay."""

    secret_key: WebhookSecret | None = None
    base_url: HttpUrl = "https://api.paystack.co"
    callback_url: HttpUrl | None = None


class AlertsSection(Section):
    """How owners and operators are told."""

    smtp_host: Host | None = None
    smtp_port: Port = 587
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_sender: str | None = None
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    webhook_url: SecretUrl | None = None
    webhook_secret: SigningSecret | None = None
    expiring_soon_days: Annotated[tuple[Days, ...], Field(max_length=10)] = (30, 7, 1)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Through which alerts are told; none: they are stored only."""
        ways: dict[Channel, object] = {"email": self.smtp_host, "webhook": self.webhook_url}
        return tuple(channel for channel, way in ways.items() if way is not None)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.smtp_host and not self.smtp_sender:
            raise ValueError("smtp_host is set and smtp_sender, the From address, is not")
        if self.webhook_url and not self.webhook_secret:
            raise ValueError("webhook_url is set and webhook_secret, which signs, is not")
        return self
