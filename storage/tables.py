"""
The SQL tables, as SQLAlchemy Core sees them. A column's comment says its unit.

Credits are whole micro-credits, provider cost is whole pico-dollars, money paid is in
the currency's minor unit, times are aware UTC, ids are UUIDv7 as text.
SQLite and PostgreSQL get the same schema; `storage/migrations` builds it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; SQLite, which has no zones, gets it back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        assert value.tzinfo is not None, "a time without a zone is refused"
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


Id = Uuid(as_uuid=False)
# What is None is NULL for an analyst too, and not the JSON value null.
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def _id() -> Column[Any]:
    return Column("id", Id, primary_key=True, comment="UUIDv7")


def _business() -> Column[Any]:
    return Column("business_id", Id, ForeignKey("businesses.id"), nullable=False)


def _micro(name: str, comment: str, **more: Any) -> Column[Any]:
    more.setdefault("nullable", False)
    return Column(f"{name}_microcredits", BigInteger, comment=f"micro-credits; {comment}", **more)


businesses = Table(
    "businesses",
    metadata,
    _id(),
    Column("name", String(200), nullable=False),
    Column("owner_email", String(320), nullable=False),
    Column("owner_phone", String(40)),
    Column("status", String(16), nullable=False, comment="active or suspended"),
    Column("currency", String(3), nullable=False, comment="ISO 4217; what the business pays in"),
    Column("time_zone", String(64), nullable=False, comment="IANA name; its days and statements"),
    _micro("low_balance_threshold", "below this the owner is warned"),
    Column("expires_after_months", SmallInteger, nullable=False, comment="calendar months"),
    Column("settings", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("status IN ('active', 'suspended')", name="status"),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    _business(),
    Column("digest", LargeBinary(32), nullable=False, unique=True, comment="SHA-256 of the key"),
    Column("shown", String(24), nullable=False, comment="prefix and last four, for people"),
    Column("name", String(200), nullable=False),
    Column("scopes", Json, nullable=False, comment="endpoints, models, features it may use"),
    Column("default_feature", String(100)),
    _micro("credit_cap", "the most it may spend", nullable=True),
    Column("requests_per_minute", Integer, comment="empty: as the settings say"),
    Column("tokens_per_minute", Integer, comment="empty: as the settings say"),
    Column("concurrent", Integer, comment="calls at a time; empty: as the settings say"),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_api_keys_business_id", "business_id"),
)

ledger_partitions = Table(
    "ledger_partitions",
    metadata,
    Column("partition", SmallInteger, primary_key=True, autoincrement=False, comment="0 to 15"),
    Column("epoch", BigInteger, nullable=False, comment="raised by every recovery"),
    Column("highest_counter", BigInteger, nullable=False, comment="highest counter recorded"),
    Column("frozen_reason", Text, comment="why calls are refused; empty when all is well"),
)

business_ai_credits = Table(
    "business_ai_credits",
    metadata,
    _id(),
    _business(),
    _micro("balance", "what is left, as far as recorded"),
    Column("expires_at", UtcDateTime, comment="empty until the first purchase"),
    Column("is_active", Boolean, nullable=False),
    Column("purchased_at", UtcDateTime, comment="the first purchase of this row"),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("epoch", BigInteger, nullable=False, comment="in which the account was last opened"),
    Column("seq", BigInteger, nullable=False, comment="last recorded change of the business"),
    Column("credit_seq", BigInteger, nullable=False, comment="last credit event written"),
    _micro("owed", "taken back but spent already; blocks new calls"),
    Column("alerted", SmallInteger, nullable=False, comment="bits: 1 low_balance, 2 depleted"),
    CheckConstraint("balance_microcredits >= 0", name="balance_not_negative"),
    CheckConstraint("owed_microcredits >= 0", name="owed_not_negative"),
    Index(
        "uq_business_ai_credits_active",
        "business_id",
        unique=True,
        sqlite_where=text("is_active"),
        postgresql_where=text("is_active"),
    ),
)

ai_credit_purchases = Table(
    "ai_credit_purchases",
    metadata,
    _id(),
    _business(),
    Column("user", String(200), comment="who in the business bought, or the admin who granted"),
    Column("amount_paid_minor", BigInteger, nullable=False, comment="minor units of currency"),
    Column("currency", String(3), nullable=False, comment="ISO 4217"),
    _micro("credits_purchased", "what was paid for"),
    _micro("bonus_credits", "given on top"),
    Column("provider", String(32), nullable=False, comment="admin, paystack, …"),
    Column("payment_reference", String(200), nullable=False),
    Column("payment_status", String(16), nullable=False),
    Column("payment_method", String(32), nullable=False),
    Column("package", String(100)),
    Column("tax_lines", Json, nullable=False),
    Column("provider_answer", Json),
    Column("note", Text),
    Column("credit_seq", BigInteger, comment="the credit event that added it"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime),
    Column("applied_at", UtcDateTime, comment="when Redis had it; for display"),
    UniqueConstraint("provider", "payment_reference"),
    CheckConstraint(
        "payment_status IN ('pending', 'completed', 'failed', 'refunded')", name="payment_status"
    ),
    CheckConstraint(
        "credits_purchased_microcredits >= 0 AND bonus_credits_microcredits >= 0",
        name="credits_not_negative",
    ),
    CheckConstraint("amount_paid_minor >= 0", name="amount_not_negative"),
    Index("ix_ai_credit_purchases_business_id_id", "business_id", "id"),
)

ai_transactions = Table(
    "ai_transactions",
    metadata,
    _id(),
    _business(),
    Column("key_id", Id),
    Column("user", String(200), comment="the app's own user id"),
    Column("feature", String(100)),
    Column("endpoint", String(64), nullable=False),
    Column("model", String(128), nullable=False, comment="that priced it"),
    _micro("credits_used", "charged; signed on an adjusted row"),
    Column("cost_to_us_picodollars", BigInteger, nullable=False, comment="pico-dollars"),
    Column("tokens_used", BigInteger, nullable=False, comment="all tokens, in and out"),
    Column("usage", Json, nullable=False, comment="unit → count; units of metering/usage.py"),
    Column("usage_source", String(16), nullable=False, comment="reported, counted or none"),
    Column("estimated", Boolean, nullable=False),
    Column("timestamp", UtcDateTime, nullable=False, comment="when the call came in"),
    Column("success", Boolean, nullable=False),
    Column("http_status", SmallInteger, comment="what the caller was answered"),
    Column("processing_time_ms", Integer, comment="milliseconds to the last byte"),
    Column("first_byte_ms", Integer, comment="milliseconds to the first byte of the reply"),
    _micro("credits_held", "set aside before the call"),
    _micro("shortfall", "billed beyond what could be charged"),
    Column("outcome", String(16), nullable=False),
    Column("adjusts", Id, comment="the transaction that this row corrects"),
    Column("price_version", String(64), nullable=False, comment="re-rates the row exactly"),
    Column("upstream_request_id", String(128)),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, comment="empty when it came from a rolled-back Redis"),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column(
        "day", Date, comment="of the business, under which usage_daily counts it; empty: not yet"
    ),
    CheckConstraint("outcome IN ('settled', 'released', 'orphaned', 'adjusted')", name="outcome"),
    UniqueConstraint("business_id", "seq"),
    Index("ix_ai_transactions_business_id_id", "business_id", "id"),
    Index("ix_ai_transactions_timestamp", "timestamp"),
    Index(
        "ix_ai_transactions_without_day",
        "id",
        sqlite_where=text("day IS NULL"),
        postgresql_where=text("day IS NULL"),
    ),
)

usage_daily = Table(
    "usage_daily",
    metadata,
    # Without a foreign key: each group comes with rows that have one, and a second look at
    # the business would prove nothing more.
    Column("business_id", Id, primary_key=True),
    Column("day", Date, primary_key=True, comment="of the business, in its time zone"),
    Column("feature", String(100), primary_key=True, comment="'' for none"),
    Column("user", String(200), primary_key=True, comment="'' for none"),
    Column("model", String(128), primary_key=True),
    Column("endpoint", String(64), primary_key=True),
    Column("calls", BigInteger, nullable=False, comment="an adjusted row is no call"),
    Column("failed", BigInteger, nullable=False, comment="of the calls"),
    Column("tokens", BigInteger, nullable=False, comment="all tokens, in and out"),
    _micro("credits", "charged; adjusted rows included"),
    Column("cost_picodollars", BigInteger, nullable=False, comment="pico-dollars"),
    Index("ix_usage_daily_day", "day"),
)

credit_movements = Table(
    "credit_movements",
    metadata,
    _id(),
    _business(),
    Column("balance_id", Id, ForeignKey("business_ai_credits.id"), nullable=False),
    Column(
        "kind",
        String(16),
        nullable=False,
        comment="purchase, bonus, adjustment, refund, configure, expired, taken_back",
    ),
    _micro("amount", "signed change of the balance"),
    _micro("requested", "signed; what a credit event asks of Redis"),
    Column("credit_seq", BigInteger, comment="set on events that travel SQL → Redis"),
    Column("epoch", BigInteger, comment="set on changes that travel Redis → SQL"),
    Column("seq", BigInteger, comment="set on changes that travel Redis → SQL"),
    Column("event", Json, nullable=False, comment="what credit.lua is to apply"),
    Column("reference", String(200), comment="purchase id, or the event taken back"),
    Column("reason", Text),
    Column("at", UtcDateTime, nullable=False),
    Column("applied_at", UtcDateTime, comment="when Redis had it; for display"),
    UniqueConstraint("business_id", "credit_seq"),
    UniqueConstraint("business_id", "seq"),
    Index("ix_credit_movements_business_id_id", "business_id", "id"),
    Index(
        "ix_credit_movements_unapplied",
        "business_id",
        sqlite_where=text("applied_at IS NULL AND credit_seq IS NOT NULL"),
        postgresql_where=text("applied_at IS NULL AND credit_seq IS NOT NULL"),
    ),
)

ai_usage_alerts = Table(
    "ai_usage_alerts",
    metadata,
    _id(),
    _business(),
    Column("alert_type", String(16), nullable=False),
    _micro("current_balance", "when the alert was raised"),
    _micro("threshold", "that was crossed"),
    Column("credit_seq", BigInteger, nullable=False, comment="the arming it belongs to"),
    Column("sent_at", UtcDateTime, nullable=False, comment="when it was raised"),
    Column("acknowledged", Boolean, nullable=False),
    Column("acknowledged_by", String(200)),
    Column("acknowledged_at", UtcDateTime),
    Column("delivery_state", String(16), nullable=False, comment="pending, sent, failed"),
    # Of expiring_soon there is one for each mark: expiry_warnings knows them.
    Index(
        "uq_ai_usage_alerts_arming",
        "business_id",
        "alert_type",
        "credit_seq",
        unique=True,
        sqlite_where=text("alert_type <> 'expiring_soon'"),
        postgresql_where=text("alert_type <> 'expiring_soon'"),
    ),
    CheckConstraint(
        "alert_type IN ('low_balance', 'depleted', 'expired', 'expiring_soon')", name="alert_type"
    ),
)

model_prices = Table(
    "model_prices",
    metadata,
    _id(),
    Column("model", String(128), nullable=False),
    Column("valid_from", UtcDateTime, nullable=False),
    Column("row", Json, nullable=False, comment="the same keys as a row of rate_card.toml"),
    Column("version", String(64), nullable=False),
    Column("who", String(200), nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("model", "valid_from"),
)

object_owners = Table(
    "object_owners",
    metadata,
    Column("id", String(200), primary_key=True, comment="OpenAI's: resp_…, file-…, vs_…"),
    Column("kind", String(32), nullable=False, comment="response, file, vector_store, …"),
    _business(),
    Column("key_id", Id, comment="that made it"),
    Column("feature", String(100)),
    Column("tokens", BigInteger, comment="in and out, of a response; empty: not known"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    Index("ix_object_owners_business_id_kind_created_at", "business_id", "kind", "created_at"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", String(100), primary_key=True, comment="which call the key belongs to"),
    Column("key", String(255), primary_key=True),
    Column("body_digest", LargeBinary(32), nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("answer", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    _id(),
    Column("partition", SmallInteger, nullable=False),
    Column("entry_id", String(64), nullable=False, comment="of the Redis stream"),
    Column("fields", Json, nullable=False, comment="the entry as it was read"),
    Column("why", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("partition", "entry_id"),
)

audit_log = Table(
    "audit_log",
    metadata,
    _id(),
    Column("at", UtcDateTime, nullable=False),
    Column("who", String(200), nullable=False),
    Column("what", String(100), nullable=False, comment="verb and noun: business.suspend"),
    Column("object_id", Id, nullable=False),
    Column("before", Json),
    Column("after", Json),
)
