"""
Every table that one call, end to end, needs.

The types are written out here, so that this step stays what it was when the code moves on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False)
TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    _who_pays()
    _ledger()
    _calls()
    _administration()


def _who_pays() -> None:
    op.create_table(
        "businesses",
        sa.Column("id", ID, nullable=False, comment="UUIDv7"),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("owner_email", sa.String(length=320), nullable=False),
        sa.Column("owner_phone", sa.String(length=40)),
        sa.Column("status", sa.String(length=16), nullable=False, comment="active or suspended"),
        sa.Column(
            "currency",
            sa.String(length=3),
            nullable=False,
            comment="ISO 4217; what the business pays in",
        ),
        sa.Column(
            "time_zone",
            sa.String(length=64),
            nullable=False,
            comment="IANA name; its days and statements",
        ),
        sa.Column(
            "low_balance_threshold_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; below this the owner is warned",
        ),
        sa.Column(
            "expires_after_months", sa.SmallInteger(), nullable=False, comment="calendar months"
        ),
        sa.Column("settings", DOCUMENT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.CheckConstraint("status IN ('active', 'suspended')", name=op.f("ck_businesses_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_businesses")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", ID, nullable=False, comment="UUIDv7"),
        sa.Column("business_id", ID, nullable=False),
        sa.Column(
            "digest", sa.LargeBinary(length=32), nullable=False, comment="SHA-256 of the key"
        ),
        sa.Column(
            "shown",
            sa.String(length=24),
            nullable=False,
            comment="prefix and last four, for people",
        ),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column(
            "scopes", DOCUMENT, nullable=False, comment="endpoints, models, features it may use"
        ),
        sa.Column("default_feature", sa.String(length=100)),
        sa.Column(
            "credit_cap_microcredits",
            sa.BigInteger(),
            comment="micro-credits; the most it may spend",
        ),
        sa.Column("expires_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.Column("last_used_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["business_id"], ["businesses.id"], name=op.f("fk_api_keys_business_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_index("ix_api_keys_business_id", "api_keys", ["business_id"])


def _ledger() -> None:
    op.create_table(
        "ledger_partitions",
        sa.Column(
            "partition", sa.SmallInteger(), autoincrement=False, nullable=False, comment="0 to 15"
        ),
        sa.Column("epoch", sa.BigInteger(), nullable=False, comment="raised by every recovery"),
        sa.Column(
            "highest_counter", sa.BigInteger(), nullable=False, comment="highest counter recorded"
        ),
        sa.Column(
            "frozen_reason", sa.Text(), comment="why calls are refused; empty when all is well"
        ),
        sa.PrimaryKeyConstraint("partition", name=op.f("pk_ledger_partitions")),
    )
    op.create_table(
        "business_ai_credits",
        sa.Column("id", ID, nullable=False, comment="UUIDv7"),
        sa.Column("business_id", ID, nullable=False),
        sa.Column(
            "balance_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; what is left, as far as recorded",
        ),
        sa.Column("expires_at", TIME, comment="empty until the first purchase"),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("purchased_at", TIME, comment="the first purchase of this row"),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column(
            "epoch", sa.BigInteger(), nullable=False, comment="in which the account was last opened"
        ),
        sa.Column(
            "seq", sa.BigInteger(), nullable=False, comment="last recorded change of the business"
        ),
        sa.Column(
            "credit_seq", sa.BigInteger(), nullable=False, comment="last credit event written"
        ),
        sa.Column(
            "owed_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; taken back but spent already; blocks new calls",
        ),
        sa.Column(
            "alerted", sa.SmallInteger(), nullable=False, comment="bits: 1 low_balance, 2 depleted"
        ),
        sa.CheckConstraint(
            "balance_microcredits >= 0", name=op.f("ck_business_ai_credits_balance_not_negative")
        ),
        sa.CheckConstraint(
            "owed_microcredits >= 0", name=op.f("ck_business_ai_credits_owed_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["business_id"], ["businesses.id"], name=op.f("fk_business_ai_credits_business_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_business_ai_credits")),
    )
    op.create_index(
        "uq_business_ai_credits_active",
        "business_ai_credits",
        ["business_id"],
        unique=True,
        sqlite_where=sa.text("is_active"),
        postgresql_where=sa.text("is_active"),
    )
    op.create_table(
        "credit_movements",
        sa.Column("id", ID, nullable=False, comment="UUIDv7"),
        sa.Column("business_id", ID, nullable=False),
        sa.Column("balance_id", ID, nullable=False),
        sa.Column(
            "kind",
            sa.String(length=16),
            nullable=False,
            comment="purchase, bonus, adjustment, refund, configure, expired, taken_back",
        ),
        sa.Column(
            "amount_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; signed change of the balance",
        ),
        sa.Column(
            "requested_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; signed; what a credit event asks of Redis",
        ),
        sa.Column("credit_seq", sa.BigInteger(), comment="set on events that travel SQL → Redis"),
        sa.Column("epoch", sa.BigInteger(), comment="set on changes that travel Redis → SQL"),
        sa.Column("seq", sa.BigInteger(), comment="set on changes that travel Redis → SQL"),
        sa.Column("event", DOCUMENT, nullable=False, comment="what credit.lua is to apply"),
        sa.Column(
            "reference", sa.String(length=200), comment="purchase id, or the event taken back"
        ),
        sa.Column("reason", sa.Text()),
        sa.Column("at", TIME, nullable=False),
        sa.Column("applied_at", TIME, comment="when Redis had it; for display"),
        sa.ForeignKeyConstraint(
            ["balance_id"], ["business_ai_credits.id"], name=op.f("fk_credit_movements_balance_id")
        ),
        sa.ForeignKeyConstraint(
            ["business_id"], ["businesses.id"], name=op.f("fk_credit_movements_business_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_movements")),
        sa.UniqueConstraint(
            "business_id", "credit_seq", name=op.f("uq_credit_movements_business_id_credit_seq")
        ),
        sa.UniqueConstraint("business_id", "seq", name=op.f("uq_credit_movements_business_id_seq")),
    )
    op.create_index("ix_credit_movements_business_id_id", "credit_movements", ["business_id", "id"])
    op.create_index(
        "ix_credit_movements_unapplied",
        "credit_movements",
        ["business_id"],
        sqlite_where=sa.text("applied_at IS NULL AND credit_seq IS NOT NULL"),
        postgresql_where=sa.text("applied_at IS NULL AND credit_seq IS NOT NULL"),
    )
    op.create_table(
        "ai_credit_purchases",
        sa.Column("id", ID, nullable=False, comment="UUIDv7"),
        sa.Column("business_id", ID, nullable=False),
        sa.Column(
            "user",
            sa.String(length=200),
            comment="who in the business bought, or the admin who granted",
        ),
        sa.Column(
            "amount_paid_minor", sa.BigInteger(), nullable=False, comment="minor units of currency"
        ),
        sa.Column("currency", sa.String(length=3), nullable=False, comment="ISO 4217"),
        sa.Column(
            "credits_purchased_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; what was paid for",
        ),
        sa.Column(
            "bonus_credits_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; given on top",
        ),
        sa.Column("provider", sa.String(length=32), nullable=False, comment="admin, paystack, …"),
        sa.Column("payment_reference", sa.String(length=200), nullable=False),
        sa.Column("payment_status", sa.String(length=16), nullable=False),
        sa.Column("payment_method", sa.String(length=32), nullable=False),
        sa.Column("package", sa.String(length=100)),
        sa.Column("tax_lines", DOCUMENT, nullable=False),
        sa.Column("provider_answer", DOCUMENT),
        sa.Column("note", sa.Text()),
        sa.Column("credit_seq", sa.BigInteger(), comment="the credit event that added it"),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("completed_at", TIME),
        sa.Column("applied_at", TIME, comment="when Redis had it; for display"),
        sa.CheckConstraint(
            "payment_status IN ('pending', 'completed', 'failed', 'refunded')",
            name=op.f("ck_ai_credit_purchases_payment_status"),
        ),
        sa.CheckConstraint(
            "amount_paid_minor >= 0", name=op.f("ck_ai_credit_purchases_amount_not_negative")
        ),
        sa.CheckConstraint(
            "credits_purchased_microcredits >= 0 AND bonus_credits_microcredits >= 0",
            name=op.f("ck_ai_credit_purchases_credits_not_negative"),
        ),
        sa.ForeignKeyConstraint(
            ["business_id"], ["businesses.id"], name=op.f("fk_ai_credit_purchases_business_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ai_credit_purchases")),
        sa.UniqueConstraint(
            "provider",
            "payment_reference",
            name=op.f("uq_ai_credit_purchases_provider_payment_reference"),
        ),
    )
    op.create_index(
        "ix_ai_credit_purchases_business_id_id", "ai_credit_purchases", ["business_id", "id"]
    )


def _calls() -> None:
    op.create_table(
        "ai_transactions",
        sa.Column("id", ID, nullable=False, comment="UUIDv7"),
        sa.Column("business_id", ID, nullable=False),
        sa.Column("key_id", ID),
        sa.Column("user", sa.String(length=200), comment="the app's own user id"),
        sa.Column("feature", sa.String(length=100)),
        sa.Column("endpoint", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False, comment="that priced it"),
        sa.Column(
            "credits_used_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; charged; signed on an adjusted row",
        ),
        sa.Column(
            "cost_to_us_picodollars", sa.BigInteger(), nullable=False, comment="pico-dollars"
        ),
        sa.Column("tokens_used", sa.BigInteger(), nullable=False, comment="all tokens, in and out"),
        sa.Column(
            "usage", DOCUMENT, nullable=False, comment="unit → count; units of metering/usage.py"
        ),
        sa.Column(
            "usage_source",
            sa.String(length=16),
            nullable=False,
            comment="reported, counted or none",
        ),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("timestamp", TIME, nullable=False, comment="when the call came in"),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.Column("http_status", sa.SmallInteger(), comment="what the caller was answered"),
        sa.Column("processing_time_ms", sa.Integer(), comment="milliseconds to the last byte"),
        sa.Column(
            "first_byte_ms", sa.Integer(), comment="milliseconds to the first byte of the reply"
        ),
        sa.Column(
            "credits_held_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; set aside before the call",
        ),
        sa.Column(
            "shortfall_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; billed beyond what could be charged",
        ),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("adjusts", ID, comment="the transaction that this row corrects"),
        sa.Column(
            "price_version",
            sa.String(length=64),
            nullable=False,
            comment="re-rates the row exactly",
        ),
        sa.Column("upstream_request_id", sa.String(length=128)),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), comment="empty when it came from a rolled-back Redis"),
        sa.Column("recorded_at", TIME, nullable=False),
        sa.CheckConstraint(
            "outcome IN ('settled', 'released', 'orphaned', 'adjusted')",
            name=op.f("ck_ai_transactions_outcome"),
        ),
        sa.ForeignKeyConstraint(
            ["business_id"], ["businesses.id"], name=op.f("fk_ai_transactions_business_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ai_transactions")),
        sa.UniqueConstraint("business_id", "seq", name=op.f("uq_ai_transactions_business_id_seq")),
    )
    op.create_index("ix_ai_transactions_business_id_id", "ai_transactions", ["business_id", "id"])
    op.create_index("ix_ai_transactions_timestamp", "ai_transactions", ["timestamp"])
    op.create_table(
        "ai_usage_alerts",
        sa.Column("id", ID, nullable=False, comment="UUIDv7"),
        sa.Column("business_id", ID, nullable=False),
        sa.Column("alert_type", sa.String(length=16), nullable=False),
        sa.Column(
            "current_balance_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; when the alert was raised",
        ),
        sa.Column(
            "threshold_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; that was crossed",
        ),
        sa.Column(
            "credit_seq", sa.BigInteger(), nullable=False, comment="the arming it belongs to"
        ),
        sa.Column("sent_at", TIME, nullable=False, comment="when it was raised"),
        sa.Column("acknowledged", sa.Boolean(), nullable=False),
        sa.Column("acknowledged_by", sa.String(length=200)),
        sa.Column("acknowledged_at", TIME),
        sa.Column(
            "delivery_state", sa.String(length=16), nullable=False, comment="pending, sent, failed"
        ),
        sa.CheckConstraint(
            "alert_type IN ('low_balance', 'depleted', 'expired', 'expiring_soon')",
            name=op.f("ck_ai_usage_alerts_alert_type"),
        ),
        sa.ForeignKeyConstraint(
            ["business_id"], ["businesses.id"], name=op.f("fk_ai_usage_alerts_business_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ai_usage_alerts")),
        sa.UniqueConstraint(
            "business_id",
            "alert_type",
            "credit_seq",
            name=op.f("uq_ai_usage_alerts_business_id_alert_type_credit_seq"),
        ),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", ID, nullable=False, comment="UUIDv7"),
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("entry_id", sa.String(length=64), nullable=False, comment="of the Redis stream"),
        sa.Column("fields", DOCUMENT, nullable=False, comment="the entry as it was read"),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        sa.UniqueConstraint(
            "partition", "entry_id", name=op.f("uq_dead_letters_partition_entry_id")
        ),
    )


def _administration() -> None:
    op.create_table(
        "model_prices",
        sa.Column("id", ID, nullable=False, comment="UUIDv7"),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("valid_from", TIME, nullable=False),
        sa.Column(
            "row", DOCUMENT, nullable=False, comment="the same keys as a row of rate_card.toml"
        ),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_prices")),
        sa.UniqueConstraint("model", "valid_from", name=op.f("uq_model_prices_model_valid_from")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column(
            "scope", sa.String(length=100), nullable=False, comment="which call the key belongs to"
        ),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("answer", DOCUMENT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", ID, nullable=False, comment="UUIDv7"),
        sa.Column("at", TIME, nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column(
            "what", sa.String(length=100), nullable=False, comment="verb and noun: business.suspend"
        ),
        sa.Column("object_id", ID, nullable=False),
        sa.Column("before", DOCUMENT),
        sa.Column("after", DOCUMENT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
