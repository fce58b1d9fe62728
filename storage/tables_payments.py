"""
The tables of paying: what providers told, what they must be asked, and what a person decides.

They stand beside `storage/tables.py` and share its MetaData; `storage/schema.py` imports
them, so that whoever checks the schema sees them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from storage.tables import Id, Json, UtcDateTime, metadata

payment_checks = Table(
    "payment_checks",
    metadata,
    Column("purchase_id", Id, ForeignKey("ai_credit_purchases.id"), primary_key=True),
    Column("authorization_url", Text, comment="where the payer pays; empty until it is known"),
    Column("checks", Integer, nullable=False, comment="how often the provider was asked"),
    Column("next_check_at", UtcDateTime, comment="empty: it need not be asked any more"),
    Column("last_said", Text, comment="what the provider said last, in a word"),
    Index("ix_payment_checks_next_check_at", "next_check_at"),
)

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", Id, primary_key=True, comment="UUIDv7"),
    Column("provider", String(32), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, comment="SHA-256 of the body"),
    Column("kind", String(64), nullable=False, comment="as the provider names it"),
    Column("reference", String(200), comment="of the payment it is about"),
    Column("body", LargeBinary, nullable=False, comment="as it came; its signature was right"),
    Column("received_at", UtcDateTime, nullable=False),
    Column("processed_at", UtcDateTime, comment="empty: it is still to be processed"),
    Column("outcome", Text, comment="what came of it"),
    UniqueConstraint("provider", "digest"),
    Index(
        "ix_webhook_events_unprocessed",
        "id",
        sqlite_where=text("processed_at IS NULL"),
        postgresql_where=text("processed_at IS NULL"),
    ),
)

payment_problems = Table(
    "payment_problems",
    metadata,
    Column("id", Id, primary_key=True, comment="UUIDv7"),
    Column("provider", String(32), nullable=False),
    Column("reference", String(200), nullable=False, comment="of the payment"),
    Column("why", String(32), nullable=False, comment="amount, currency, business, …"),
    Column("purchase_id", Id, ForeignKey("ai_credit_purchases.id"), comment="empty: unknown"),
    Column("refund_id", Id, comment="the refund it is about"),
    Column("expected", Json, nullable=False),
    Column("found", Json, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("decision", String(16), comment="accepted or dismissed; empty: it waits"),
    Column("decided_by", String(200)),
    Column("decided_at", UtcDateTime),
    Column("reason", Text),
    UniqueConstraint("provider", "reference", "why"),
    CheckConstraint("decision IN ('accepted', 'dismissed')", name="decision"),
)

refunds = Table(
    "refunds",
    metadata,
    Column("id", Id, primary_key=True, comment="UUIDv7"),
    Column("purchase_id", Id, ForeignKey("ai_credit_purchases.id"), nullable=False),
    Column("kind", String(16), nullable=False, comment="refund or dispute"),
    Column("status", String(16), nullable=False, comment="asked, pending, processed, failed"),
    Column("amount_minor", BigInteger, nullable=False, comment="minor units of its currency"),
    Column("taken_microcredits", BigInteger, nullable=False, comment="micro-credits; asked back"),
    Column("provider_reference", String(200), comment="the provider's own name for it"),
    Column("who", String(200), nullable=False),
    Column("reason", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    UniqueConstraint("purchase_id", "provider_reference"),
    CheckConstraint("kind IN ('refund', 'dispute')", name="kind"),
    CheckConstraint("status IN ('asked', 'pending', 'processed', 'failed')", name="status"),
    CheckConstraint("amount_minor >= 0 AND taken_microcredits >= 0", name="not_negative"),
)
